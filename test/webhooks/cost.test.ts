import crypto, { createHash } from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import t from 'tap'
import { now, secret } from './signed-requests.ts'

/** How often the engine compares: it is loaded after the counting function has taken the place of Node's. */
let comparisons = 0
const { timingSafeEqual } = crypto
crypto.timingSafeEqual = (a, b) => {
  comparisons += 1
  return timingSafeEqual(a, b)
}
syncBuiltinESMExports()
const { signWebhook } = await import('../../src/webhooks/sign.ts')
const { verifyWebhook } = await import('../../src/webhooks/signature.ts')

t.test('every signature is compared with every secret in constant time, also after one has matched', async (t) => {
  const body = Buffer.from('{}')
  const good = String(signWebhook('stripe', { secret, body, now })['stripe-signature'])
  const others = Array.from({ length: 4 }, (_, n) => `v1=${createHash('sha256').update(String(n)).digest('hex')}`)
  const verify = (header: string) => {
    comparisons = 0
    const headers = { 'stripe-signature': header }
    const { ok } = verifyWebhook('stripe', { secrets: ['a', secret, 'b'], method: 'POST', headers, body, now })
    return { ok, comparisons }
  }
  t.same(verify([good, ...others].join(',')), { ok: true, comparisons: 15 })
  const [time] = good.split(',')
  t.same(verify([time, ...others, others[0]].join(',')), { ok: false, comparisons: 15 })
})

t.test('verifying 64 KiB takes less than 100 µs of CPU', async (t) => {
  const body = Buffer.from(`{"text":"${'x'.repeat(65_536)}"}`)
  const headers = signWebhook('github', { secret, body, now, id: 'd1', type: 'push' })
  const microseconds = () => {
    const rounds = 200
    const before = process.cpuUsage()
    for (let i = 0; i < rounds; i += 1) {
      const request = { secrets: [secret], method: 'POST', headers, body, now }
      if (!verifyWebhook('github', request).ok) throw new Error('not verified')
    }
    const { user, system } = process.cpuUsage(before)
    return (user + system) / rounds
  }
  // The least of several: other processes on the machine cost caches, and so time.
  const least = Math.min(...Array.from({ length: 10 }, microseconds))
  t.comment(`${least.toFixed(1)} µs`)
  t.ok(least < 100, `${least.toFixed(1)} µs`)
})
