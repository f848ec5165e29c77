import { Agent } from 'node:http'
import t from 'tap'
import { testApp } from '../fixtures/app.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { type Answer, portOf, post } from '../fixtures/http.ts'
import { startRedis, testRedis } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

const order = { type: 'orders.order.created', data: { orderId: 'o1', amount: 1 } }

/** 1,000 requests at once under 100 distinct keys, shared between the ports; resolves with the answers. */
async function flood(
  ports: number[],
  headersOf: (n: number) => Record<string, string>,
  eventOf: (n: number) => object
) {
  const agent = new Agent({ keepAlive: true })
  const send = async (i: number): Promise<Answer> => {
    const answer = await post(
      ports[i % ports.length] as number,
      JSON.stringify(eventOf(i % 100)),
      headersOf(i % 100),
      agent
    )
    // A cold process may find so many at once too much, and asks to come back.
    return answer.status === 503 ? send(i) : answer
  }
  const answers = await Promise.all(Array.from({ length: 1_000 }, (_, i) => send(i)))
  agent.destroy()
  return answers
}

/** Each key was answered with one entry, and as new exactly once. */
function isOncePerKey(answers: Awaited<ReturnType<typeof flood>>): boolean {
  const entriesOf = new Map<number, Set<string>>()
  answers.forEach(({ body }, i) => {
    const entries = entriesOf.get(i % 100) ?? new Set()
    entriesOf.set(i % 100, entries.add(body.entryId))
  })
  const fresh = answers.filter(({ status, body }) => status === 202 && body.duplicate === false)
  return fresh.length === 100 && [...entriesOf.values()].every((entries) => entries.size === 1)
}

t.test('1,000 requests at once with 100 distinct keys store 100 events', async (t) => {
  const { app, redis, prefix } = await testApp(t)
  const ports = [await portOf(app)]
  const byKey = await flood(
    ports,
    (n) => ({ 'idempotency-key': `k${n}` }),
    () => order
  )
  t.ok(isOncePerKey(byKey))
  t.equal(await redis.xlen(`${prefix}orders:order:created`), 100)
  const byId = await flood(
    ports,
    () => ({}),
    (n) => ({ ...order, id: `e${n}`, source: '/s' })
  )
  t.ok(isOncePerKey(byId))
  t.equal(await redis.xlen(`${prefix}orders:order:created`), 200)
})

t.test('so they do through two gateway processes', async (t) => {
  const { redis, url, prefix } = await testRedis(t)
  const gateways = await Promise.all([1, 2].map(() => startGateway(t, { REDIS_URL: url, KEY_PREFIX: prefix })))
  const ports = gateways.map(({ port }) => port)
  // Each key goes to both: 100 is even, so the second hundred is sent the other way round.
  const answers = await flood(
    [...ports, ...ports.toReversed()].flatMap((port) => Array(50).fill(port)),
    (n) => ({ 'idempotency-key': `k${n}` }),
    () => order
  )
  t.ok(isOncePerKey(answers))
  t.equal(await redis.xlen(`${prefix}orders:order:created`), 100)
})

t.test(
  'an id that is twice in a batch is a duplicate if the events are equal, and refuses the batch if not',
  async (t) => {
    const { app, redis, prefix } = await testApp(t)
    const port = await portOf(app)
    const known = { ...order, id: 'e1', source: '/s' }
    const equal = await post(port, JSON.stringify([known, known]))
    t.match(equal, { status: 202, body: { accepted: 2, duplicates: 1 } })
    t.equal(equal.body.results[0].entryId, equal.body.results[1].entryId)
    const other = { ...known, id: 'e2' }
    const different = await post(port, JSON.stringify([other, { ...other, data: { orderId: 'o2', amount: 2 } }]))
    t.match(different, { status: 422, body: { code: 'key-reused', errors: [{ pointer: '/1/id' }] } })
    t.equal(await redis.xlen(`${prefix}orders:order:created`), 1)
  }
)

t.test('a repetition is a duplicate although the time that is filled in has moved on', async (t) => {
  const { app, redis, prefix } = await testApp(t)
  const port = await portOf(app)
  const send = () => post(port, JSON.stringify(order), { 'idempotency-key': 'k1' })
  const first = await send()
  const millisecond = Date.now()
  await until(() => Date.now() > millisecond)
  t.same((await send()).body, { ...first.body, duplicate: true })
  const [[, fields = []] = []] = await redis.xrange(`${prefix}orders:order:created`, '-', '+')
  t.ok(Date.parse(fields[fields.indexOf('time') + 1] ?? '') <= millisecond)
  t.equal(await redis.xlen(`${prefix}orders:order:created`), 1)
})

t.test('an Idempotency-Key belongs to its API key and its stream, and covers the whole body', async (t) => {
  const { app } = await testApp(t)
  const port = await portOf(app)
  const key = { 'idempotency-key': 'k1' }
  t.equal((await post(port, JSON.stringify([order, order]), key)).body.duplicates, 0)
  const renamed = { type: 'users.user.renamed', data: { name: 'x' } }
  t.equal((await post(port, JSON.stringify(renamed), key)).body.duplicate, false)
  const otherCaller = { ...key, authorization: 'Bearer order-publisher' }
  t.equal((await post(port, JSON.stringify([order, order]), otherCaller)).body.duplicates, 0)
  t.match(await post(port, JSON.stringify([order, { ...order, subject: 'x' }]), key), {
    status: 422,
    body: { code: 'key-reused' }
  })
})

t.test('keys are remembered over a restart of a Redis with an append-only file', async (t) => {
  const server = await startRedis(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const { port } = await startGateway(t, { REDIS_URL: server.url })
  const byKey = () => post(port, JSON.stringify(order), { 'idempotency-key': 'k1' })
  const byId = () => post(port, JSON.stringify({ ...order, id: 'e1' }))
  const first = [(await byKey()).body, (await byId()).body]
  t.match(first, [{ durability: 'fsync' }, { durability: 'fsync' }])
  await server.kill('SIGKILL')
  await server.start()
  await until(async () => (await byKey()).status === 202)
  const again = [(await byKey()).body, (await byId()).body]
  t.same(
    again.map(({ entryId, duplicate }) => [entryId, duplicate]),
    first.map(({ entryId }) => [entryId, true])
  )
  t.equal(await server.client().xlen('orders:order:created'), 2)
})
