import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { Type } from 'typebox'
import { defineTopology } from '../../src/topology.ts'
import { as, testApp } from '../fixtures/app.ts'
import { until } from '../fixtures/until.ts'

const order = { type: 'orders.order.created', data: { orderId: 'o1', amount: 10 } }
const renamed = { type: 'users.user.renamed', data: { name: 'Ada' } }

function post(app: FastifyInstance, url: string, payload: unknown, headers: Record<string, string> = {}) {
  return app.inject({
    method: 'POST',
    url,
    payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
    headers: { ...as('publisher'), 'content-type': 'application/json', ...headers }
  })
}

t.test('one event is answered with where it is stored, and its data is stored byte for byte', async (t) => {
  const { app, redis, prefix } = await testApp(t)
  const data = '{ "orderId":"o1", "amount":12345678901234567890.10, "__proto__":{"x":1}, "e":"\\u00e9é" }'
  const answer = await post(app, '/events', `{"type":"orders.order.created","id":"e1","source":"/shop","data":${data}}`)
  t.equal(answer.statusCode, 202)
  const { entryId, ...rest } = answer.json()
  t.same(rest, { id: 'e1', stream: 'orders:order:created', duplicate: false, durability: 'memory' })
  const entries = await redis.xrange(`${prefix}orders:order:created`, '-', '+')
  t.equal(entries.length, 1)
  t.equal(entries[0]?.[0], entryId)
  const fields = entries[0]?.[1] ?? []
  t.equal(fields[fields.indexOf('data') + 1], data)
})

t.test('what the client leaves out is filled in, the source from the name of its key', async (t) => {
  const { app, redis, prefix } = await testApp(t)
  const { id } = (await post(app, '/events', order)).json()
  t.match(id, /^[0-9a-f-]{36}$/)
  const [[, fields = []] = []] = await redis.xrange(`${prefix}orders:order:created`, '-', '+')
  t.equal(fields[fields.indexOf('source') + 1], '/keys/publisher')
  t.match(fields[fields.indexOf('time') + 1], /^20\d\d-.*Z$/)
})

t.test('an array is answered with a result for each event, on both paths', async (t) => {
  const { app } = await testApp(t)
  for (const url of ['/events', '/events/batch']) {
    const answer = await post(app, url, [order, renamed, order])
    t.equal(answer.statusCode, 202)
    t.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
    t.match(answer.json(), {
      accepted: 3,
      duplicates: 0,
      durability: 'memory',
      results: [{ stream: 'orders:order:created' }, { stream: 'users:user:events' }, { stream: 'orders:order:created' }]
    })
  }
  t.same((await post(app, '/events/batch', [])).json(), {
    accepted: 0,
    duplicates: 0,
    durability: 'memory',
    results: []
  })
})

t.test('an event sent again with its id is a duplicate, and without one it is not', async (t) => {
  const { app } = await testApp(t)
  const known = { ...order, id: 'e1' }
  const first = (await post(app, '/events', known)).json()
  const second = (await post(app, '/events', known)).json()
  t.same(second, { ...first, duplicate: true })
  t.equal((await post(app, '/events/batch', [known, order, order])).json().duplicates, 1)
})

t.test('two API keys do not share their ids', async (t) => {
  const { app } = await testApp(t)
  const known = { ...order, id: 'e1', source: '/shop' }
  t.equal((await post(app, '/events', known)).json().duplicate, false)
  t.equal((await post(app, '/events', known, as('order-publisher'))).json().duplicate, false)
})

t.test('an Idempotency-Key repeats the first answer, quoted or not, and refuses another payload', async (t) => {
  const { app, redis, prefix } = await testApp(t)
  const first = await post(app, '/events', [order, order], { 'idempotency-key': 'k1' })
  const second = await post(app, '/events', [order, order], { 'idempotency-key': '"k1"' })
  const ids = (answer: typeof first) =>
    answer.json().results.map(({ id, entryId }: Record<string, string>) => [id, entryId])
  t.equal(second.json().duplicates, 2)
  t.same(ids(second), ids(first))
  const other = await post(app, '/events', [order, { ...order, subject: 'x' }], { 'idempotency-key': 'k1' })
  t.equal(other.statusCode, 422)
  t.equal(other.json().code, 'key-reused')
  t.equal(await redis.xlen(`${prefix}orders:order:created`), 2)
})

t.test('the CloudEvents forms are taken too: structured, batched and binary', async (t) => {
  const { app, redis, prefix } = await testApp(t)
  const complete = { specversion: '1.0', id: 'c1', source: '/shop', ...order }
  const structured = { 'content-type': 'application/cloudevents+json; charset=UTF-8' }
  t.equal((await post(app, '/events', complete, structured)).json().id, 'c1')
  const batched = { 'content-type': 'application/cloudevents-batch+json' }
  t.equal((await post(app, '/events/batch', [{ ...complete, id: 'c2' }], batched)).json().accepted, 1)
  await app.listen()
  const headers = {
    'ce-specversion': '1.0',
    'ce-id': 'c3',
    'ce-source': '/shop',
    'ce-type': order.type,
    'ce-trace': 'a%20b'
  }
  const answer = await fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/events`, {
    method: 'POST',
    body: JSON.stringify(order.data),
    headers: { ...as('publisher'), 'content-type': 'application/json', ...headers }
  })
  t.match(await answer.json(), { id: 'c3' })
  const [[, fields = []] = []] = await redis.xrevrange(`${prefix}orders:order:created`, '+', '-', 'COUNT', 1)
  t.equal(fields[fields.indexOf('trace') + 1], 'a b')
})

t.test(
  'when one of several streams is full, the answer says what became of each event, and sending it again completes it',
  async (t) => {
    const topology = defineTopology({
      streams: {
        'orders:order:created': {
          events: { 'orders.order.created': Type.Unknown() },
          retention: { maxLength: 1, hardLimit: 2 },
          groups: { slow: { external: true, pins: true } }
        },
        'users:user:events': { events: { 'users.user.renamed': Type.Unknown() } }
      }
    })
    const { app, redis, prefix } = await testApp(t, { topology })
    t.equal((await post(app, '/events', [order, order])).statusCode, 202)

    const alone = await post(app, '/events', order)
    t.equal(alone.statusCode, 503)
    t.equal(alone.json().code, 'stream-full')
    t.equal(alone.json().results, undefined)
    t.match(alone.headers['retry-after'], /^[567]$/)

    const split = await post(app, '/events', [renamed, order])
    t.equal(split.statusCode, 503)
    const { code, results } = split.json()
    t.equal(code, 'stream-full')
    t.match(results, [
      { stream: 'users:user:events', stored: true, duplicate: false, entryId: /-/ },
      { stream: 'orders:order:created', stored: false, code: 'stream-full' }
    ])

    const key = `${prefix}orders:order:created`
    const read = await redis.xreadgroup('GROUP', 'slow', 'c1', 'STREAMS', key, '>')
    for (const [entryId] of read?.[0]?.[1] ?? []) await redis.xack(key, 'slow', entryId)
    const again = await post(app, '/events', [
      { ...renamed, id: results[0].id },
      { ...order, id: results[1].id }
    ])
    t.equal(again.statusCode, 202)
    t.match(again.json(), {
      accepted: 2,
      duplicates: 1,
      results: [{ entryId: results[0].entryId, duplicate: true }, { duplicate: false }]
    })
    t.equal(await redis.xlen(`${prefix}users:user:events`), 1)

    const larger = await post(app, '/events', [order, order, order])
    t.equal(larger.statusCode, 413)
    t.equal(larger.json().code, 'too-many-events')
  }
)

t.test('without Redis every request is answered 503 in time, and posting works again when it is back', async (t) => {
  const { app, server } = await testApp(t, { COMMAND_TIMEOUT_MS: 100 })
  await server.kill('SIGKILL')
  const [single, batch] = await Promise.all([post(app, '/events', order), post(app, '/events/batch', [order, renamed])])
  for (const answer of [single, batch]) {
    t.equal(answer.statusCode, 503)
    t.match(answer.json().code, /^(store-down|outcome-unknown)$/)
    t.match(answer.headers['retry-after'], /^[1-5]$/)
  }
  t.match(batch.json().results, [
    { stored: false, stream: 'orders:order:created' },
    { stored: false, stream: 'users:user:events' }
  ])
  const look = await app.inject({ url: '/admin/lag', headers: as('observer') })
  t.equal(look.statusCode, 503)
  t.equal(look.json().code, 'store-down')
  await server.start()
  await until(async () => (await post(app, '/events', order)).statusCode === 202)
  t.equal((await app.inject('/readyz')).json().status, 'ok')
})
