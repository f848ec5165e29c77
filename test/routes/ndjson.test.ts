import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { Type } from 'typebox'
import { defineTopology } from '../../src/topology.ts'
import { as, testApp } from '../fixtures/app.ts'
import { type Answer, portOf, post as send } from '../fixtures/http.ts'
import { until } from '../fixtures/until.ts'

const ndjson = { 'content-type': 'application/x-ndjson' }
const post = (port: number, body: Parameters<typeof send>[1], headers = {}): Promise<Answer> =>
  send(port, body, { ...ndjson, ...headers })

function line(n: number, more = ''): string {
  return `{"type":"orders.order.created","id":"n${n}","data":{"orderId":"o${n}","amount":${n}}${more}}\n`
}
const lines = (from: number, count: number) => Array.from({ length: count }, (_, i) => line(from + i)).join('')

t.test('every line is an event, stored in the order of the body, over any number of chunks', async (t) => {
  const { app, redis, prefix } = await testApp(t)
  const port = await portOf(app)
  const answer = await post(port, [lines(0, 700), '\n\r\n', lines(700, 800).slice(0, -1)])
  t.equal(answer.status, 202)
  t.same(answer.body, { accepted: 1_500, duplicates: 0, durability: 'memory' })
  const entries = await redis.xrange(`${prefix}orders:order:created`, '-', '+')
  t.same(
    entries.map(([, fields]) => fields[fields.indexOf('id') + 1]),
    Array.from({ length: 1_500 }, (_, i) => `n${i}`)
  )
  t.same((await post(port, lines(1_400, 200))).body, { accepted: 200, duplicates: 100, durability: 'memory' })
  t.same((await post(port, lines(0, 2), { 'idempotency-key': 'k' })).body.duplicates, 2, 'the key is ignored')
})

t.test('a body without events stores none', async (t) => {
  const { app } = await testApp(t)
  const port = await portOf(app)
  for (const body of ['', '\n\n', ['\n']]) t.match(await post(port, body), { status: 202, body: { accepted: 0 } })
})

t.test('the first bad line ends it with its own status; the lines before it are stored, none after it', async (t) => {
  const { app, redis, prefix } = await testApp(t, { BODY_LIMIT_BYTES: 2_000 })
  const port = await portOf(app)
  const renamed = '{"type":"users.user.renamed","data":{"name":"Ada"}}\n'
  let from = 0
  for (const [bad, status, code, errors, headers] of [
    ['{"type":\n', 400, 'malformed-json', [{ pointer: '' }], {}],
    ['{"type":"x","id":""}\n', 400, 'invalid-event', [{ pointer: '/id' }], {}],
    ['{"type":"x"}\n', 422, 'unknown-type', [{ pointer: '/type' }], {}],
    [line(0).replace('"o0"', '1'), 422, 'schema-violation', [{ pointer: '/data/orderId' }], {}],
    [`[${line(0)}]\n`.replace('}\n', '}'), 400, 'invalid-event', undefined, {}],
    [line(0, `,"x":"${'x'.repeat(2_000)}"`), 413, 'body-too-large', undefined, {}],
    [
      renamed,
      403,
      'forbidden',
      [{ pointer: '/type', detail: 'needs publish:users:user:events' }],
      as('order-publisher')
    ]
  ] as const) {
    const length = await redis.xlen(`${prefix}orders:order:created`)
    const answer = await post(port, [lines(from, 620), '\n', bad, lines(from + 620, 5)], headers)
    t.match(answer, { status, body: { status, code, accepted: 620, duplicates: 0, line: 622 } }, code)
    if (errors !== undefined) t.match(answer.body.errors, errors)
    t.equal(await redis.xlen(`${prefix}orders:order:created`), length + 620)
    from += 1_000
  }
  t.match((await post(port, 'x')).body, { accepted: 0, duplicates: 0, line: 1 })
})

t.test('a line that never ends is refused before it has come whole', async (t) => {
  const { app } = await testApp(t, { BODY_LIMIT_BYTES: 1_000 })
  async function* endless() {
    yield line(1)
    for (;;) yield 'x'.repeat(1_000)
  }
  const answer = await post(await portOf(app), endless())
  t.match(answer, { status: 413, body: { code: 'body-too-large', accepted: 1, line: 2 } })
})

t.test(
  'a client that reads only after it has sent everything gets the answer, and may keep its connection',
  async (t) => {
    const { app } = await testApp(t)
    const port = await portOf(app)
    const body = `x\n${lines(0, 50_000)}`
    const head = `POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer publisher\r\ncontent-type: application/x-ndjson\r\n`
    for (const connection of ['keep-alive', 'close']) {
      const socket = connect(port, '127.0.0.1')
      let received = ''
      socket.on('data', (chunk) => {
        received += chunk
      })
      socket.write(`${head}connection: ${connection}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`)
      // Piece by piece, so that the answer is there long before the end.
      for (let at = 0; at < body.length; at += 100_000) {
        if (!socket.write(body.slice(at, at + 100_000))) await once(socket, 'drain')
      }
      await until(() => received.includes('malformed-json'))
      if (connection === 'keep-alive') socket.write('GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
      await once(socket, 'close')
      t.equal(received.includes('"status":"ok"'), connection === 'keep-alive')
    }
  }
)

t.test('a store that refuses in the middle ends it with how many are stored and where to go on', async (t) => {
  const topology = defineTopology({
    streams: {
      'orders:order:created': {
        events: { 'orders.order.created': Type.Unknown() },
        retention: { maxLength: 600, hardLimit: 1_200 },
        groups: { slow: { external: true, pins: true } }
      }
    }
  })
  const { app, redis, prefix } = await testApp(t, { topology })
  const key = `${prefix}orders:order:created`
  const port = await portOf(app)
  const answer = await post(port, lines(0, 3_000))
  t.equal(answer.status, 503)
  t.match(answer.headers['retry-after'], /^\d+$/)
  const { code, accepted, line } = answer.body
  t.equal(code, 'stream-full')
  t.equal(await redis.xlen(key), accepted)
  t.equal(line, accepted + 1)
  const read = await redis.xreadgroup('GROUP', 'slow', 'c1', 'STREAMS', key, '>')
  for (const [entryId] of read?.[0]?.[1] ?? []) await redis.xack(key, 'slow', entryId)
  t.match(await post(port, lines(line - 1, 200)), { status: 202, body: { accepted: 200, duplicates: 0 } })
})

t.test('when Redis ends in the middle, what was answered as stored is stored', async (t) => {
  const { app, server, redis, prefix } = await testApp(t, { COMMAND_TIMEOUT_MS: 100 })
  const port = await portOf(app)
  let goOn = () => {}
  const more = new Promise<void>((resolve) => {
    goOn = resolve
  })
  async function* body() {
    yield lines(0, 1_200)
    await more
    yield lines(1_200, 2_000)
  }
  const answered = post(port, body())
  await until(async () => (await redis.xlen(`${prefix}orders:order:created`)) >= 1_000)
  await server.kill('SIGKILL')
  goOn()
  const { status, body: problem } = await answered
  t.equal(status, 503)
  t.match(problem, { code: /^(store-down|outcome-unknown)$/, line: problem.accepted + 1 })
  t.ok(problem.accepted >= 1_000)
})

t.test('without a store that keeps up, the sender is made to wait', async (t) => {
  const { app, server } = await testApp(t, { COMMAND_TIMEOUT_MS: 20_000 })
  const port = await portOf(app)
  server.pause()
  const total = 24 * 1_048_576
  const chunk = Buffer.from(lines(0, 1_000))
  let sent = 0
  const sending = request({ port, method: 'POST', path: '/events', headers: { ...as('publisher'), ...ndjson } })
  sending.on('error', () => undefined)
  const answered = once(sending, 'response')
  const push = () => {
    while (sent < total) {
      sent += chunk.length
      if (!sending.write(chunk)) return void sending.once('drain', push)
    }
    sending.end()
  }
  push()
  let before = -1
  // Stalled once half a second brings nothing more.
  while (before !== sent) {
    before = sent
    await pause(500)
  }
  t.ok(sent < total / 2, `${sent} bytes were taken`)
  t.ok(app.streams.health().queuedEvents <= 1_000)
  server.resume()
  const [response] = await answered
  t.equal(response.statusCode, 202)
  sending.destroy()
})

t.test('a client that goes away in the middle of a body leaves nothing behind', async (t) => {
  const { app, redis, prefix } = await testApp(t)
  const port = await portOf(app)
  const sending = request({ port, method: 'POST', path: '/events', headers: { ...as('publisher'), ...ndjson } })
  sending.on('error', () => undefined)
  sending.write(lines(0, 700))
  await until(async () => (await redis.xlen(`${prefix}orders:order:created`)) === 500)
  sending.destroy()
  t.equal((await post(port, lines(0, 10))).body.duplicates, 10)
  await app.close()
})

t.test('with ce- headers it is one event in binary mode whose data is the lines', async (t) => {
  const topology = defineTopology({
    streams: { 'inbox:event:any': {} },
    unknownTypes: { stream: 'inbox:event:any' }
  })
  const { app, redis, prefix } = await testApp(t, { topology, BODY_LIMIT_BYTES: 1_000 })
  const port = await portOf(app)
  const binary = { 'ce-specversion': '1.0', 'ce-id': 'b1', 'ce-source': '/x', 'ce-type': 't' }
  t.match(await post(port, ['{"a":1}\n', '{"a":2}\n'], binary), { status: 202, body: { id: 'b1' } })
  const [[, fields = []] = []] = await redis.xrange(`${prefix}inbox:event:any`, '-', '+')
  t.equal(Buffer.from(fields[fields.indexOf('data_base64') + 1] ?? '', 'base64').toString(), '{"a":1}\n{"a":2}\n')
  t.equal((await post(port, ['x'.repeat(2_000)], binary)).status, 413)
})

t.test('a gateway that stops ends a body in the middle, and says where to go on', async (t) => {
  const { app, redis, prefix } = await testApp(t)
  const port = await portOf(app)
  async function* body() {
    yield lines(0, 700)
    await new Promise((resolve) => app.server.once('close', resolve))
  }
  const answered = post(port, body())
  await until(async () => (await redis.xlen(`${prefix}orders:order:created`)) === 500)
  const closed = app.close()
  t.match(await answered, { status: 503, body: { code: 'draining', accepted: 700, line: 701 } })
  await closed
})
