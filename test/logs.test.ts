import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { Type } from 'typebox'
import { errorFields } from '../src/error-fields.ts'
import { forward, reject } from '../src/index.ts'
import { createRefusalLog } from '../src/plugins/refusal-log.ts'
import { as, keysJson, testKeys } from './fixtures/app.ts'
import { portOf } from './fixtures/http.ts'
import { startRedis } from './fixtures/redis.ts'
import { until } from './fixtures/until.ts'
import { gateway } from './webhooks/gateway.ts'

/** In every place where a secret or a payload may be. */
const marker = 'MARKER-c0ffee'
const stream = 'orders:order:created'
const type = 'orders.order.created'

const topology = {
  streams: {
    [stream]: {
      events: { [type]: Type.Object({ text: Type.String() }) },
      groups: {
        throwing: { handler: async () => Promise.reject(reject(`no use for ${marker}`)) },
        partner: { handler: forward({ url: `http://127.0.0.1:1/?key=${marker}`, secret: btoa(marker) }) }
      }
    }
  },
  sources: { token: { preset: 'token' }, github: { preset: 'github' } }
}

interface Line {
  level: number
  msg: string
  [name: string]: unknown
}

async function logged(t: Parameters<typeof gateway>[0], env: Record<string, string> = {}) {
  const secrets = { WEBHOOK_SECRET_TOKEN: marker, WEBHOOK_SECRET_GITHUB: marker }
  const keys = [...testKeys, { name: `publisher-${marker}`, scopes: ['publish'] }]
  // A key is what its holder presents; the name of this one is what its hash is of.
  const definitions = JSON.parse(keysJson(keys)).map((key: { name: string }) => ({
    ...key,
    name: key.name.startsWith('publisher-') ? 'holder' : key.name
  }))
  const g = await gateway(t, topology, { API_KEYS: JSON.stringify(definitions), ...secrets, ...env })
  const lines = (): Line[] =>
    g
      .logged()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
  return {
    ...g,
    lines,
    requests: () => lines().filter(({ msg }) => msg.startsWith('request')),
    send: (url: string, payload: unknown, headers: Record<string, string> = {}) =>
      g.app.inject({
        method: 'POST',
        url,
        headers: { ...as('publisher'), 'content-type': 'application/json', ...headers },
        payload: typeof payload === 'string' ? payload : JSON.stringify(payload)
      })
  }
}
const event = { type, data: { text: marker } }

t.test('no secret and nothing of an event is logged, at any level, whatever goes wrong', async (t) => {
  const g = await logged(t, { LOG_REQUESTS: 'all' })
  const { send } = g
  const bearer = { authorization: `Bearer publisher-${marker}` }
  const answers = [
    await send('/events', { ...event, id: marker, source: marker, subject: marker }, { ...bearer, cookie: marker }),
    await send(`/events?key=${marker}`, event, { 'idempotency-key': marker, 'x-custom': marker }),
    await send('/events', event, { authorization: `Bearer ${marker}` }),
    await send('/events', event, { authorization: `Basic ${marker}` }),
    await send('/events', `{"type":"${type}","data":${marker}`),
    await send('/events', { ...event, data: { [marker]: 1 } }),
    await send('/events', { ...event, type: marker }),
    await send('/events', event, { 'content-type': `text/${marker}` }),
    await send('/events', `${JSON.stringify(event)}\n${marker}`, { 'content-type': 'application/x-ndjson' }),
    await send(`/webhooks/token?token=${marker}`, event),
    await send(`/webhooks/token?token=${marker}-wrong`, event, { 'x-hub-signature-256': marker }),
    await send('/webhooks/github', event, { 'x-hub-signature-256': `sha256=${marker}` }),
    await send(`/webhooks/${marker}`, event),
    await send(`/${marker}/${marker}`, event),
    await send(`/admin/streams/${marker}/trim`, { [marker]: marker }, as('admin')),
    await send(
      `/admin/streams/${stream}/groups/throwing/dead-letters/discard`,
      { filter: { subject: marker } },
      as('admin')
    )
  ]
  t.same(
    answers.map(({ statusCode }) => statusCode),
    [202, 202, 401, 401, 400, 422, 422, 415, 400, 200, 401, 401, 404, 404, 400, 200]
  )
  await until(() => g.lines().filter(({ reason }) => reason === 'rejected').length >= 3, { what: 'dead letters' })
  const webhooks = `${g.prefix}webhooks:token:event`
  await g.redis.multi().del(webhooks).set(webhooks, 'not a stream').exec()
  t.equal((await send(`/webhooks/token?token=${marker}`, { another: marker })).statusCode, 503)
  const refusal = g.lines().find(({ msg }) => msg === 'Redis refused an append')
  t.match(refusal, { err: { message: /^WRONGTYPE/, command: 'evalsha' } })
  t.equal(g.requests().length, answers.length + 1)
  t.same(
    g.lines().filter((line) => JSON.stringify(line).includes(marker)),
    []
  )
})

t.test('a password that Redis refuses is not logged', async (t) => {
  const server = await startRedis(t, { port: true })
  await server.client().config('SET', 'requirepass', 'another')
  const url = `redis://default:${marker}@127.0.0.1:${server.port}`
  const g = await logged(t, { REDIS_URL: url })
  t.match(JSON.stringify(g.lines()), 'WRONGPASS')
  t.notOk(g.logged().includes(marker))
})

t.test('of an error the log has its kind, its message, its place and its causes, and not what it was about', (t) => {
  const reply = Object.assign(new Error('ERR it failed', { cause: new RangeError('inside') }), {
    code: 'EFAILED',
    command: { name: 'evalsha', args: [marker] },
    config: { headers: { authorization: marker } }
  })
  const fields = errorFields(reply)
  t.match(fields, {
    type: 'Error',
    message: 'ERR it failed',
    stack: /logs\.test/,
    code: 'EFAILED',
    command: 'evalsha',
    cause: { type: 'RangeError', message: 'inside' }
  })
  t.match(errorFields(new AggregateError([new Error('one'), marker])), {
    errors: [{ message: 'one' }, { type: 'string' }]
  })
  t.notOk(JSON.stringify([fields, errorFields(marker)]).includes(marker))
  t.end()
})

t.test('a request that fails has a line that tells who, where and why', async (t) => {
  const g = await logged(t)
  const { send } = g
  t.equal((await send('/events', event)).statusCode, 202)
  await send('/events', event, { ...as('nobody'), 'x-request-id': 'mine' })
  await send('/events', { type, data: {} })
  await g.app.inject({ url: '/admin/streams/no:such:stream', headers: as('admin') })
  await send('/event', event)
  await g.app.inject('/livez')
  const bytes = Buffer.byteLength(JSON.stringify(event))
  const refused = { level: 30, msg: 'request refused', method: 'POST', client: '127.0.0.1' }
  t.match(g.requests(), [
    { ...refused, status: 401, code: 'unauthenticated', requestId: 'mine', route: '/events', bytes, ms: Number },
    { ...refused, status: 422, code: 'schema-violation', route: '/events', key: 'publisher', bytes: Number },
    { ...refused, method: 'GET', status: 404, code: 'stream-not-found', route: '/admin/streams/:stream', key: 'admin' },
    { ...refused, status: 404, code: 'route-not-found', path: '/event' }
  ])
  t.equal(g.requests().length, 4)
})

t.test(
  'with LOG_REQUESTS=all every request has one line but for probes, also one whose client went away',
  async (t) => {
    const g = await logged(t, { LOG_REQUESTS: 'all' })
    const { app, send, requests } = g
    await send('/events', event)
    await send('/webhooks/token?token=x', event)
    await app.inject({ url: '/admin/lag', headers: as('observer') })
    for (const probe of ['/livez', '/readyz']) await app.inject(probe)
    await until(() => requests().length === 3)
    t.match(requests(), [
      { msg: 'request answered', status: 202, route: '/events', key: 'publisher', ms: Number, bytes: Number },
      { msg: 'request refused', status: 401, route: '/webhooks/token', reason: 'bad-signature' },
      { msg: 'request answered', status: 200, method: 'GET', route: '/admin/lag', key: 'observer' }
    ])
    const socket = connect(await portOf(app), '127.0.0.1')
    const tail = `GET /admin/streams/${stream}/tail HTTP/1.1\r\nhost: a\r\nauthorization: Bearer admin\r\n\r\n`
    socket.write(tail)
    await once(socket, 'data')
    socket.destroy()
    await until(() => requests().length === 4)
    t.match(requests()[3], { route: '/admin/streams/:stream/tail', status: 200, aborted: true })
  }
)

t.test('ten refusals of a kind are told in full, and a flood once a second, with their number', async (t) => {
  const lines: { code?: string; count?: number; n?: number; level: string }[] = []
  const log = createRefusalLog({
    info: (fields: object) => void lines.push({ ...fields, level: 'info' }),
    warn: (fields: object) => void lines.push({ ...fields, level: 'warn' })
  } as never)
  for (let n = 0; n < 100; n += 1) log.add({ code: 'overloaded', status: 503, n } as never)
  log.add({ code: 'unauthenticated', status: 401 })
  t.same(
    lines.map(({ code, n, level }) => [code, n, level]),
    [...Array.from({ length: 10 }, (_, n) => ['overloaded', n, 'warn']), ['unauthenticated', undefined, 'info']]
  )
  await until(() => lines.length === 12)
  t.match(lines[11], { code: 'overloaded', count: 90, n: 99, level: 'warn' })
  log.add({ code: 'overloaded', status: 503 })
  t.equal(lines.length, 12, 'the flood is not over')
  log.end()
  t.match(lines[12], { code: 'overloaded', count: 1 })
})
