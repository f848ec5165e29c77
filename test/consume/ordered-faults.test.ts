import t, { type Test } from 'tap'
import { type Consumers, createConsumers } from '../../src/consume/consumers.ts'
import { createConnections } from '../../src/streams/connections.ts'
import { fieldsFromEvent } from '../../src/streams/entry.ts'
import { createKeys } from '../../src/streams/keys.ts'
import { partitionOf, physicalName } from '../../src/streams/partitions.ts'
import { defineTopology, type Handler } from '../../src/topology.ts'
import { startProxy } from '../fixtures/proxy.ts'
import { testRedis } from '../fixtures/redis.ts'
import { quietLog } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

const PARTITIONS = 3
const KEYS = 9
const stream = 'test:key:events'

/** Consumers that reach Redis by this URL, until the test ends or they are stopped. */
async function consume(t: Test, url: string, prefix: string, handler: Handler): Promise<Consumers> {
  const connections = createConnections({ url }, quietLog)
  const backoff = { minMs: 20, factor: 1, jitter: 0 }
  const g = { ordered: true, handler, staleAfterMs: 1_000, maxAttempts: 50, backoff }
  const consumers = createConsumers({
    topology: defineTopology({
      streams: { [stream]: { partitions: PARTITIONS, retention: { keepAll: true }, groups: { g } } }
    }),
    connections,
    keys: createKeys(prefix),
    publish: async () => ({ stored: true, entryId: '0-1', duplicate: false }),
    log: quietLog
  })
  await connections.connect()
  await consumers.start()
  t.teardown(async () => {
    await consumers.stop(0)
    await connections.close()
  })
  return consumers
}

t.test('connections that break anywhere lose nothing and turn no order round', { timeout: 120_000 }, async (t) => {
  const { redis, server, prefix } = await testRedis(t)
  const proxy = await startProxy(t, { path: server.socket ?? '' })
  const keys = createKeys(prefix)
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) => keys.of(physicalName(stream, partition)))
  const handled = new Map<string, number[]>()
  const handler: Handler = async ({ subject = '', data }, { attempt }) => {
    const { n } = data as { n: number }
    // Every seventh event of a key fails once.
    if (n % 7 === 3 && attempt === 1) throw new Error('once')
    const numbers = handled.get(subject) ?? []
    handled.set(subject, [...numbers, n])
  }
  await consume(t, proxy.url, prefix, handler)

  let n = 0
  const append = async (count: number) => {
    for (let i = 0; i < count; i += 1, n += 1) {
      for (let key = 0; key < KEYS; key += 1) {
        const event = { id: `${key}-${n}`, source: '/test', type: 'test.event', subject: `k${key}`, data: `{"n":${n}}` }
        await redis.xadd(partitions[partitionOf(`k${key}`, PARTITIONS)]?.stream ?? '', '*', ...fieldsFromEvent(event))
      }
    }
  }
  const done = () =>
    Array.from({ length: KEYS }, (_, key) => handled.get(`k${key}`)?.at(-1)).every((last) => last === n - 1)
  let second: Consumers | undefined
  for (let cut = 0; cut < 60; cut += 1) {
    proxy.cutAfter(cut % 2 === 0 ? 'request' : 'reply', Math.floor(Math.random() * 4_000))
    await append(2)
    // A second process comes and goes, so that leases change hands meanwhile.
    if (cut % 12 === 3) second = await consume(t, server.url, prefix, handler)
    if (cut % 12 === 9) await second?.stop(1_000)
    await until(() => proxy.cuts() > cut - 5 || done(), { what: 'connections break' })
    await until(done, { what: `everything is handled after ${cut} cuts`, deadlineMs: 20_000 })
  }
  t.ok(proxy.cuts() > 40, `${proxy.cuts()} connections broke`)
  for (let key = 0; key < KEYS; key += 1) {
    const numbers = handled.get(`k${key}`) ?? []
    t.equal(new Set(numbers).size, n, 'everything was handled')
    t.ok(
      numbers.every((number, i) => i === 0 || number >= (numbers[i - 1] ?? 0)),
      'in order'
    )
  }
  await until(async () => {
    const pending = await Promise.all(partitions.map(async (of) => (await redis.xpending(of.stream, 'g'))[0]))
    return pending.every((count) => count === 0)
  })
  for (const of of partitions) {
    t.equal(await redis.xlen(of.group('g').dead), 0)
    t.equal(await redis.hlen(of.group('g').held), 0, 'nothing is left behind')
  }
})
