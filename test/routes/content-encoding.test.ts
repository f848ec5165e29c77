import { once } from 'node:events'
import { request } from 'node:http'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { as, testApp } from '../fixtures/app.ts'
import { portOf, post } from '../fixtures/http.ts'

const gzip = { 'content-encoding': 'gzip' }
const order = { type: 'orders.order.created', id: 'g1', source: '/shop', data: { orderId: 'o1', amount: 1 } }
const complete = { specversion: '1.0', ...order }

const { app, redis, prefix } = await testApp(t, { BODY_LIMIT_BYTES: 100_000 })
const port = await portOf(app)
const stored = () => redis.xlen(`${prefix}orders:order:created`)

t.test('every form of a body may come in gzip', async (t) => {
  const bodies: [body: string, headers: Record<string, string>, answer: object][] = [
    [JSON.stringify(order), {}, { id: 'g1' }],
    [JSON.stringify([order, order]), {}, { accepted: 2 }],
    [JSON.stringify([order]), { path: '/events/batch' }, { accepted: 1 }],
    [JSON.stringify(complete), { 'content-type': 'application/cloudevents+json' }, { id: 'g1' }],
    [JSON.stringify([complete]), { 'content-type': 'application/cloudevents-batch+json' }, { accepted: 1 }],
    [`${JSON.stringify(order)}\n`.repeat(3), { 'content-type': 'application/x-ndjson' }, { accepted: 3 }]
  ]
  for (const [body, headers, answer] of bodies) {
    const encoded = gzipSync(body)
    for (const coding of ['gzip', 'GZIP', 'x-gzip']) {
      t.match(await post(port, encoded, { ...headers, 'content-encoding': coding }), { status: 202, body: answer })
    }
    t.match(await post(port, [encoded.subarray(0, 20), encoded.subarray(20)], { ...headers, ...gzip }), {
      status: 202,
      body: answer
    })
  }
  t.equal((await post(port, JSON.stringify(order), { 'content-encoding': 'identity' })).status, 202)
  const members = Buffer.concat([gzipSync('['), gzipSync(JSON.stringify(order)), gzipSync(']')])
  t.equal((await post(port, members, gzip)).status, 202, 'gzip may have several members')
})

t.test('another coding is 415 and says which ones are taken', async (t) => {
  for (const coding of ['br', 'deflate', 'zstd', 'gzip, gzip', 'x']) {
    const answer = await post(port, 'x', { 'content-encoding': coding })
    t.match(answer, { status: 415, body: { code: 'unsupported-encoding' } }, coding)
    t.equal(answer.headers['accept-encoding'], 'gzip, identity')
  }
})

t.test('a body that is not gzip, is damaged or ends early is 400, and nothing of it is stored', async (t) => {
  const before = await stored()
  const good = gzipSync(JSON.stringify({ ...order, id: 'g2' }))
  const damaged = Buffer.from(good)
  damaged[good.length - 6] = (damaged[good.length - 6] ?? 0) ^ 0xff
  for (const type of ['application/json', 'application/x-ndjson']) {
    for (const body of [Buffer.from('x'), JSON.stringify(order), good.subarray(0, -9)]) {
      const answer = await post(port, body, { ...gzip, 'content-type': type })
      t.match(answer, { status: 400, body: { code: 'malformed-encoding' } }, type)
    }
  }
  t.match(await post(port, damaged, gzip), { status: 400, body: { code: 'malformed-encoding' } })
  t.equal(await stored(), before)
})

t.test('what counts is the decoded size', async (t) => {
  const large = JSON.stringify({ ...order, ext: 'x'.repeat(100_000) })
  t.match(await post(port, gzipSync(large), gzip), { status: 413, body: { code: 'body-too-large' } })
  const bomb = gzipSync(Buffer.alloc(300_000_000, 0x20))
  const before = process.cpuUsage()
  t.match(await post(port, bomb.subarray(0, 90_000), gzip), { status: 413 })
  const { user, system } = process.cpuUsage(before)
  t.ok(user + system < 500_000, 'the rest is not decoded')
})

t.test('a stream may be of any size, but only a hundred times what was sent', async (t) => {
  const ndjson = { ...gzip, 'content-type': 'application/x-ndjson' }
  const lines = Array.from({ length: 10_000 }, (_, i) => JSON.stringify({ ...order, id: `r${i * 7919}` })).join('\n')
  t.match(await post(port, gzipSync(lines), ndjson), { status: 202, body: { accepted: 10_000 } })
  const bomb = gzipSync(`${JSON.stringify({ ...order, id: 'b' })}\n${'\n'.repeat(50_000_000)}`)
  t.match(await post(port, bomb, ndjson), { status: 413, body: { code: 'body-too-large', accepted: 1, line: 2 } })
})

t.test('nothing is decoded for a caller without a key', async (t) => {
  t.equal((await post(port, 'not gzip', { ...gzip, authorization: 'Bearer stranger' })).status, 401)
  t.equal((await post(port, 'not gzip', { ...gzip, ...as('observer') })).status, 403)
  const sending = request({
    port,
    method: 'POST',
    path: '/events',
    headers: { ...gzip, 'content-type': 'application/json', 'content-length': 1_000 }
  })
  sending.on('error', () => undefined)
  sending.flushHeaders()
  const [answer] = await once(sending, 'response')
  t.equal(answer.statusCode, 401, 'nor even waited for')
  sending.destroy()
})
