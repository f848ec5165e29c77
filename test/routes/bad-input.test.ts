import type { InjectOptions } from 'fastify'
import t from 'tap'
import { problems } from '../../src/errors.ts'
import { as, testApp, testTopology } from '../fixtures/app.ts'

const order = { type: 'orders.order.created', data: { orderId: 'o1', amount: 10 } }
const long = 'x'.repeat(10_000)

const { app, redis, prefix } = await testApp(t, { MAX_BATCH_EVENTS: 3 })
const keysAtFirst = await redis.dbsize()

function posting(payload: unknown, more: InjectOptions = {}): InjectOptions {
  return {
    method: 'POST',
    url: '/events',
    payload: typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload),
    ...more,
    headers: { ...as('publisher'), 'content-type': 'application/json', ...more.headers }
  }
}

const cases: Record<string, [status: number, code: keyof typeof problems, request: InjectOptions, more?: object]> = {
  'malformed JSON': [400, 'malformed-json', posting('{"type":')],
  'no body': [400, 'malformed-json', posting('')],
  'bytes that are not UTF-8': [400, 'malformed-json', posting(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))],
  'a number for a body': [400, 'invalid-event', posting('1')],
  'no type': [400, 'invalid-event', posting({ data: {} })],
  'a type of the wrong type': [400, 'invalid-event', posting({ type: 1 })],
  '__proto__ as an attribute': [400, 'invalid-event', posting('{"type":"orders.order.created","__proto__":"x"}')],
  'an attribute that is an object': [400, 'invalid-event', posting({ ...order, extension: {} })],
  'one event where a batch is wanted': [400, 'invalid-event', posting(order, { url: '/events/batch' })],
  'an Idempotency-Key with a space': [
    400,
    'invalid-idempotency-key',
    posting(order, { headers: { 'idempotency-key': 'a b' } })
  ],
  'an unknown parameter': [
    400,
    'invalid-parameter',
    { url: '/admin/streams/orders:order:created/entries?unknown=x', headers: as('admin') }
  ],
  'an entry id that is none': [
    400,
    'invalid-parameter',
    { url: '/admin/streams/orders:order:created/entries/x', headers: as('admin') }
  ],
  'a bad escape in the URL': [400, 'malformed-request', { url: '/types/%zz', headers: as('admin') }],
  'no key': [
    401,
    'unauthenticated',
    posting(order, { headers: { authorization: '' } }),
    { 'www-authenticate': 'Bearer' }
  ],
  'an unknown key': [
    401,
    'unauthenticated',
    posting(order, { headers: as('stranger') }),
    { 'www-authenticate': /invalid_token/ }
  ],
  'another scheme': [401, 'unauthenticated', posting(order, { headers: { authorization: 'Basic publisher' } })],
  'the wrong scope': [
    403,
    'forbidden',
    posting(order, { headers: as('observer') }),
    { 'www-authenticate': /insufficient_scope/ }
  ],
  'the wrong stream': [
    403,
    'forbidden',
    posting([order, { type: 'users.user.renamed', data: { name: 'x' } }], { headers: as('order-publisher') })
  ],
  'an unknown path': [404, 'route-not-found', { url: '/nowhere' }],
  'an unknown path with a body': [404, 'route-not-found', posting('{', { url: '/nowhere' })],
  'a path of 10,000 characters': [404, 'route-not-found', { url: `/${long}` }],
  'an unknown stream': [404, 'stream-not-found', { url: '/admin/streams/other/entries/1-1', headers: as('admin') }],
  'an unknown entry': [
    404,
    'entry-not-found',
    { url: '/admin/streams/orders:order:created/entries/1-1', headers: as('admin') }
  ],
  'the wrong method': [
    405,
    'method-not-allowed',
    { method: 'DELETE', url: '/events', headers: as('admin') },
    { allow: 'POST' }
  ],
  'the wrong method under a parameter': [
    405,
    'method-not-allowed',
    posting('', { url: '/admin/streams/a/entries/1-1' }),
    { allow: 'GET, HEAD' }
  ],
  'a body of 10 MB': [413, 'body-too-large', posting({ ...order, subject: 'x'.repeat(10_000_000) })],
  'more events than a request may hold': [413, 'too-many-events', posting([order, order, order, order])],
  'a stream name of 10,000 characters': [
    400,
    'invalid-parameter',
    { url: `/admin/streams/${long}/entries/1-1`, headers: as('admin') }
  ],
  'a stream name of 1,000 characters': [
    400,
    'invalid-parameter',
    { url: `/admin/streams/${'x'.repeat(1_000)}/entries/1-1`, headers: as('admin') }
  ],
  'another media type': [
    415,
    'unsupported-media-type',
    posting(order, { headers: { 'content-type': 'text/plain' } }),
    { 'accept-post': /^application\/json/ }
  ],
  'no media type': [415, 'unsupported-media-type', posting(order, { headers: { 'content-type': '' } })],
  'a body that is not the gzip it says': [
    400,
    'malformed-encoding',
    posting(order, { headers: { 'content-encoding': 'gzip' } })
  ],
  'another compression': [
    415,
    'unsupported-encoding',
    posting(order, { headers: { 'content-encoding': 'br' } }),
    { 'accept-encoding': 'gzip, identity' }
  ],
  'an unknown type': [422, 'unknown-type', posting({ type: 'orders.order.eaten' })],
  'a type of 10,000 characters': [422, 'unknown-type', posting({ type: long })],
  'data against its schema': [422, 'schema-violation', posting({ ...order, data: { orderId: 1, amount: '10' } })],
  'an id twice for different events': [
    422,
    'key-reused',
    posting([
      { ...order, id: 'a' },
      { ...order, id: 'a', subject: 'x' }
    ])
  ]
}

for (const [name, [status, code, request, headers = {}]] of Object.entries(cases)) {
  t.test(`${name} is ${status} ${code}`, async (t) => {
    const answer = await app.inject(request)
    const body = answer.json()
    t.equal(answer.statusCode, status)
    t.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8')
    t.match(body, { code, status, title: problems[code].title, type: `/problems#${code}` })
    t.equal(body.instance, answer.headers['x-request-id'])
    t.match(answer.headers, { 'x-content-type-options': 'nosniff', 'cache-control': 'no-store', ...headers })
    t.equal(await redis.dbsize(), keysAtFirst, 'nothing is remembered')
    for (const stream of testTopology.streams.keys()) t.equal(await redis.xlen(prefix + stream), 0, 'nothing is stored')
  })
}

t.test('every fault of every event of a batch is listed with where it is', async (t) => {
  const faulty = await app.inject(posting([{ ...order, data: { amount: -1 } }, order, { type: 'orders.order.eaten' }]))
  t.match(faulty.json().errors, [
    { pointer: '/0/data/orderId', code: 'schema-violation' },
    { pointer: '/0/data/amount', code: 'schema-violation' },
    { pointer: '/2/type', code: 'unknown-type' }
  ])
  const forbidden = await app.inject(
    posting([order, { type: 'users.user.renamed', data: { name: 'x' } }], { headers: as('order-publisher') })
  )
  t.equal(forbidden.json().errors.length, 1)
  t.match(forbidden.json(), { detail: /publish for the stream 'users:user:events'/, errors: [{ pointer: '/1/type' }] })
})

t.test('the request id of the client is echoed only if it is safe', async (t) => {
  const answer = await app.inject({ url: '/livez', headers: { 'x-request-id': 'abc-123' } })
  t.equal(answer.headers['x-request-id'], 'abc-123')
  for (const unsafe of ['a b', '<script>', 'x'.repeat(200)]) {
    const other = await app.inject({ url: '/livez', headers: { 'x-request-id': unsafe } })
    t.ok(other.headers['x-request-id'] !== unsafe)
    t.ok(other.headers['x-request-id'])
  }
})

t.test('every code is served where the type of a problem points', async (t) => {
  const { items } = (await app.inject('/problems')).json()
  t.same(
    items.map(({ code }: { code: string }) => code),
    Object.keys(problems)
  )
})
