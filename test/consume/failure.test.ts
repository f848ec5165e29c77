import t from 'tap'
import { backoffMs } from '../../src/consume/backoff.ts'
import { fingerprintOf, recordFailure } from '../../src/consume/failure.ts'
import type { FailureHistory } from '../../src/streams/dead-letters.ts'

t.test('a history keeps the first five and the last five failures and the total', async (t) => {
  let text: string | undefined
  for (let n = 1; n <= 23; n++) text = recordFailure(text, new Error(`failure ${n}`), n)
  const history = JSON.parse(text ?? '') as FailureHistory
  t.equal(history.total, 23)
  t.same(
    history.first.map(({ at }) => at),
    [1, 2, 3, 4, 5]
  )
  t.same(
    history.last.map(({ message }) => message),
    [19, 20, 21, 22, 23].map((n) => `failure ${n}`)
  )
})

t.test('a history never takes more than 4 KiB, whatever is thrown', async (t) => {
  const thrown: unknown[] = [
    new Error('☃'.repeat(5_000)),
    new Error('\u0000'.repeat(5_000)),
    Object.assign(new Error('x'), { name: '𝄞'.repeat(900), stack: '"\n'.repeat(9_000) }),
    'text'.repeat(9_000),
    undefined,
    null,
    Object.create(null)
  ]
  for (const error of thrown) {
    let text: string | undefined
    for (let n = 0; n < 12; n++) text = recordFailure(text, error, 1_790_000_000_000 + n)
    t.ok(Buffer.byteLength(text ?? '') <= 4_096)
    t.equal((JSON.parse(text ?? '') as FailureHistory).total, 12)
  }
})

t.test('failures of one kind share a fingerprint, others do not', async (t) => {
  const fail = (message: string) => {
    const error = new TypeError(message)
    error.stack = `TypeError: ${message}\n    at processOrder (file:///srv/app/orders.ts:${message.length}:7)\n    at other (x.ts:1:1)`
    return error
  }
  t.equal(fingerprintOf(fail('order ord-4711 of user 12')), fingerprintOf(fail('order ord-99 of user 3456')))
  t.equal(fingerprintOf(fail('order ord-4711')), 'TypeError: order * at processOrder orders.ts')
  t.not(fingerprintOf(fail('no stock')), fingerprintOf(fail('no price')))
})

t.test('the backoff grows by its factor up to its limit, spread by its jitter', async (t) => {
  const backoff = { minMs: 2_000, maxMs: 600_000, factor: 4, jitter: 0.2 }
  t.same(
    [1, 2, 3, 9].map((failure) => backoffMs(backoff, failure, () => 0.5)),
    [2_000, 8_000, 32_000, 600_000]
  )
  t.equal(
    backoffMs(backoff, 1, () => 0),
    1_600
  )
  t.equal(
    backoffMs(backoff, 1, () => 1),
    2_400
  )
})
