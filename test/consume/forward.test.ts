import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { Socket } from 'node:net'
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import { forward, retryAfterMs } from '../../src/consume/forward.ts'
import { deadLetterFromEntry } from '../../src/streams/dead-letters.ts'
import type { GroupOptions } from '../../src/topology-options.ts'
import { inProcessConsumers } from '../fixtures/in-process-consumers.ts'
import { freePort } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

const secret = `whsec_${Buffer.from('a secret of twenty-four bytes').toString('base64')}`

interface Delivery {
  /** Of the body's CloudEvent, once the library has verified the signature. */
  event: { id: string; data?: unknown } & Record<string, unknown>
  body: string
  headers: IncomingMessage['headers']
}

interface Endpoint {
  url: string
  /** Verified deliveries that were answered with 2xx. */
  delivered: Delivery[]
  connections: () => number
  /** Stops listening and breaks every connection. */
  die: () => Promise<void>
  revive: () => Promise<void>
}

type Behaviour = (delivery: Delivery, answer: Parameters<RequestListener>[1], request: IncomingMessage) => unknown

const ok: Behaviour = (_delivery, answer) => answer.writeHead(204).end()

/** An HTTP endpoint that verifies what it gets with the Standard Webhooks library and then behaves as told. */
async function startEndpoint(t: Test, behave: Behaviour): Promise<Endpoint> {
  const port = await freePort()
  const delivered: Delivery[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  let server: Server
  const revive = async () => {
    server = createServer(async (request, answer) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk as Buffer)
      const body = Buffer.concat(chunks).toString()
      const event = new Webhook(secret).verify(body, request.headers as Record<string, string>) as Delivery['event']
      const delivery = { event, body, headers: request.headers }
      answer.on('finish', () => {
        if (answer.statusCode < 300) delivered.push(delivery)
      })
      await behave(delivery, answer, request)
    })
    server.on('connection', (socket) => {
      connections += 1
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    })
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  }
  const die = async () => {
    const closed = new Promise((resolve) => server.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  await revive()
  t.teardown(die)
  return { url: `http://127.0.0.1:${port}/hook?x=1`, delivered, connections: () => connections, die, revive }
}

async function consuming(
  t: Test,
  url: string,
  options: { timeoutMs?: number } = {},
  group: Partial<GroupOptions> = {}
) {
  const handler = forward({ url, secret, timeoutMs: 1_000, ...options })
  const backoff = { minMs: 20, maxMs: 40, factor: 1, jitter: 0 }
  const consumers = await inProcessConsumers(t, { g: { handler, backoff, concurrency: 4, maxAttempts: 3, ...group } })
  const letters = async () =>
    (await consumers.redis.xrange(consumers.keys.group('g').dead, '-', '+')).map(([id, fields]) =>
      deadLetterFromEntry(id, fields)
    )
  return { ...consumers, letters }
}

t.test('an event arrives as a signed CloudEvent, byte for byte', async (t) => {
  const endpoint = await startEndpoint(t, ok)
  const { append } = await consuming(t, endpoint.url)
  const data = '{"text":"é \\u0000 ☃", "n": 1e400, "big": 12345678901234567890}'
  await append({
    id: 'json',
    subject: 's',
    time: '2026-01-01T00:00:00Z',
    data,
    extensions: { traceparent: '00-aa' }
  })
  await append({ id: 'binary', datacontenttype: 'image/png', data_base64: 'AAEC' })
  await append({ id: 'ü.1 ☃' })
  await until(() => endpoint.delivered.length === 3)
  const [json, binary, odd] = ['json', 'binary', 'ü.1 ☃'].map((id) =>
    endpoint.delivered.find(({ event }) => event.id === id)
  )
  t.match(json?.headers, { 'content-type': 'application/cloudevents+json', 'webhook-id': 'json' })
  t.ok(json?.body.endsWith(`,"data":${data}}`), 'data is what was posted')
  t.match(json?.event, {
    specversion: '1.0',
    source: '/test',
    type: 'a.b',
    subject: 's',
    time: '2026-01-01T00:00:00Z',
    traceparent: '00-aa'
  })
  t.match(binary?.event, { datacontenttype: 'image/png', data_base64: 'AAEC' })
  t.match(odd?.headers['webhook-id'], /^sha256-[\w-]{43}$/, 'an id no header can carry is replaced by its digest')
})

t.test('every event arrives at an endpoint that fails, hangs, rate limits, dies and comes back', async (t) => {
  const calls = new Map<string, number>()
  const behave: Behaviour = async ({ event }, answer, request) => {
    const call = (calls.get(event.id) ?? 0) + 1
    calls.set(event.id, call)
    const n = Number(event.id.slice('event-'.length))
    if (call === 1 && n % 6 === 0) return answer.writeHead(500).end('x'.repeat(100_000))
    if (call === 1 && n % 6 === 1) return undefined
    if (call === 1 && n % 6 === 2) return answer.writeHead(429, { 'retry-after': '0' }).end()
    if (call === 1 && n % 6 === 3) return answer.writeHead(503).end()
    if (call === 1 && n % 6 === 4) return request.socket.destroy()
    return ok({ event, body: '', headers: {} }, answer, request)
  }
  const endpoint = await startEndpoint(t, behave)
  const { append, letters } = await consuming(t, endpoint.url, { timeoutMs: 150 })
  const ids = Array.from({ length: 24 }, (_, n) => `event-${n}`)
  for (const id of ids) await append({ id })
  await until(() => endpoint.delivered.length >= 8)
  await endpoint.die()
  for (const id of ['event-29', 'event-35']) await append({ id })
  await new Promise((resolve) => setTimeout(resolve, 300))
  await endpoint.revive()
  const all = new Set([...ids, 'event-29', 'event-35'])
  const arrived = () => new Set(endpoint.delivered.map(({ event }) => event.id))
  await until(() => arrived().size === all.size, { deadlineMs: 30_000, what: 'every event has arrived' })
  t.same(arrived(), all)
  t.same(await letters(), [])
})

t.test('an outage that outlasts every attempt makes no dead letter', async (t) => {
  const endpoint = await startEndpoint(t, ok)
  const send = forward({ url: endpoint.url, secret, timeoutMs: 1_000 })
  let tries = 0
  const handler: GroupOptions['handler'] = async (event, context) => {
    tries += 1
    await send(event, context)
  }
  const { append, letters, redis, keys } = await consuming(t, endpoint.url, {}, { handler, maxAttempts: 1 })
  await endpoint.die()
  for (let n = 0; n < 20; n++) await append({ id: `event-${n}` })
  await until(() => tries >= 8, { what: 'eight failed tries, with one attempt allowed' })
  await endpoint.revive()
  await until(async () => (await redis.hget(keys.group('g').counts, 'acked')) === '20', {
    deadlineMs: 20_000,
    what: 'all arrive'
  })
  t.same(await letters(), [])
})

t.test('what the answer says becomes of the event', async (t) => {
  const behave: Behaviour = ({ event }, answer) =>
    answer.writeHead(Number(event.id), { location: 'http://127.0.0.1:1/' }).end()
  const endpoint = await startEndpoint(t, behave)
  const { append, letters } = await consuming(t, endpoint.url, {}, { maxAttempts: 2 })
  const statuses = { rejected: [301, 302, 307, 308, 400, 404, 410, 413, 422], exhausted: [408, 425, 500, 502, 504] }
  for (const status of Object.values(statuses).flat()) await append({ id: String(status) })
  await until(async () => (await letters()).length === 14, { what: 'all are dead' })
  for (const [reason, expected] of Object.entries(statuses)) {
    const dead = (await letters()).filter((letter) => letter.reason === reason)
    t.same(dead.map(({ event }) => Number(event.id)).sort(), expected, reason)
  }
  const [gone] = (await letters()).filter(({ event }) => event.id === '410')
  t.match(gone?.errors?.first[0]?.message, /^http:\/\/127\.0\.0\.1:\d+\/hook answered 410$/, 'no query in the message')
})

t.test('a redirect is not followed', async (t) => {
  const elsewhere = await startEndpoint(t, ok)
  const endpoint = await startEndpoint(t, (_delivery, answer) =>
    answer.writeHead(307, { location: elsewhere.url }).end()
  )
  const { append, letters } = await consuming(t, endpoint.url)
  await append({ id: 'event' })
  await until(async () => (await letters()).length === 1)
  t.equal(elsewhere.connections(), 0)
})

t.test('an event the endpoint always hangs on dies while the others arrive', async (t) => {
  const endpoint = await startEndpoint(t, (delivery, answer, request) =>
    delivery.event.id === 'poison' ? undefined : ok(delivery, answer, request)
  )
  const { append, letters } = await consuming(t, endpoint.url, { timeoutMs: 100 })
  await append({ id: 'poison' })
  let appended = 0
  await until(async () => {
    await append({ id: `event-${appended++}` })
    return (await letters()).length === 1
  })
  t.match(await letters(), [{ event: { id: 'poison' }, reason: 'exhausted', attempts: 3 }])
  await until(() => endpoint.delivered.length === appended)
})

t.test('connections are kept alive and used again', async (t) => {
  const endpoint = await startEndpoint(t, ok)
  const { append } = await consuming(t, endpoint.url)
  for (let n = 0; n < 100; n++) await append({ id: `event-${n}` })
  await until(() => endpoint.delivered.length === 100)
  t.ok(endpoint.connections() <= 8, `${endpoint.connections()} connections for 100 events, four at a time`)
})

t.test('an endpoint that says when to come back is left alone until then', async (t) => {
  const calls: number[] = []
  const endpoint = await startEndpoint(t, (delivery, answer, request) => {
    calls.push(performance.now())
    return calls.length === 1 ? answer.writeHead(429, { 'retry-after': '1' }).end() : ok(delivery, answer, request)
  })
  const { append } = await consuming(t, endpoint.url, {}, { concurrency: 1 })
  for (let n = 0; n < 5; n++) await append({ id: `event-${n}` })
  await until(() => endpoint.delivered.length === 5)
  t.ok((calls[1] ?? 0) - (calls[0] ?? 0) >= 990, `${Math.round((calls[1] ?? 0) - (calls[0] ?? 0))} ms`)
})

t.test('Retry-After is seconds or a date, an hour at most', async (t) => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  t.equal(retryAfterMs('120', now), 120_000)
  t.equal(retryAfterMs('Thu, 01 Jan 2026 00:00:30 GMT', now), 30_000)
  t.equal(retryAfterMs('Wed, 31 Dec 2025 00:00:00 GMT', now), 0)
  t.equal(retryAfterMs('999999999', now), 3_600_000)
  for (const useless of [undefined, '', 'soon', '-1x']) t.equal(retryAfterMs(useless, now), undefined)
})

t.test('a URL or a secret that cannot work is refused at once, and the rate becomes the group’s', async (t) => {
  t.throws(() => forward({ url: 'ftp://x/', secret }), /not an http/)
  t.throws(() => forward({ url: 'nowhere', secret }), /not an http/)
  t.throws(() => forward({ url: 'http://x/', secret: 'whsec_%%' }), /secret/)
  t.equal(forward({ url: 'http://x/', secret, ratePerSecond: 7 }).ratePerSecond, 7)
})
