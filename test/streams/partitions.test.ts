import t from 'tap'
import { Type } from 'typebox'
import { partitionOf, physicalStreamOf } from '../../src/streams/partitions.ts'
import { defineTopology, TopologyError } from '../../src/topology.ts'
import { as, testApp } from '../fixtures/app.ts'
import { testRedis } from '../fixtures/redis.ts'
import { testStreams } from '../fixtures/streams.ts'

const events = { 'test.key.set': Type.Object({ n: Type.Number() }) }
const topology = (partitions: number) => defineTopology({ streams: { 'test:key:events': { events, partitions } } })

t.test('a key belongs to CRC-32 of its UTF-8 modulo the number of partitions', async (t) => {
  // The check value of CRC-32/ISO-HDLC.
  t.equal(partitionOf('123456789', 1_000_000), 0xcbf43926 % 1_000_000)
  t.equal(partitionOf('é', 256), 62, 'of the bytes c3 a9')
  const [stream] = topology(4).streams.values()
  const event = { id: '1', source: '/test', type: 'test.key.set' }
  t.equal(stream && physicalStreamOf(stream, event), undefined)
  t.equal(stream && physicalStreamOf(stream, { ...event, subject: '' }), undefined)
  t.match(stream && physicalStreamOf(stream, { ...event, subject: 'a' }), /^test:key:events:[0-3]$/)
})

t.test('another number of partitions refuses to start, and says so in plain words', async (t) => {
  const { url } = await testRedis(t)
  const first = await testStreams(t, url, { 'test:key:events': { events, partitions: 4 } })
  await t.rejects(testStreams(t, url, { 'test:key:events': { events, partitions: 8 } }, { keys: first.keys }), {
    name: 'StartupError',
    message: /'test:key:events' has 4 partitions in Redis and 8 in the topology/
  })
})

t.test('a partition cannot have the name of another stream', async (t) => {
  t.throws(() => defineTopology({ streams: { 'a:b': { partitions: 2 }, 'a:b:1': {} } }), TopologyError)
})

t.test('only a partitioned stream can have an ordered group, and only an ordered group a rebuild', async (t) => {
  const handler = async () => undefined
  const faults = (stream: Parameters<typeof defineTopology>[0]['streams'][string]) => {
    t.throws(() => defineTopology({ streams: { 'a:b': stream } }), TopologyError)
  }
  faults({ groups: { g: { ordered: true, handler } } })
  faults({ partitions: 2, groups: { g: { ordered: true, external: true } } })
  faults({ partitions: 2, groups: { g: { handler, rebuild: handler } } })
  faults({ partitions: 0 })
  faults({ partitionKey: (event) => event.subject })
})

t.test('events are stored with the others of their key; one without a key is 422 and stores nothing', async (t) => {
  const { app, redis, prefix } = await testApp(t, { topology: topology(4) })
  const post = (payload: object, url = '/events') =>
    app.inject({ method: 'POST', url, headers: as('publisher'), payload })
  const event = (subject: string | undefined, n: number) => ({ type: 'test.key.set', subject, data: { n } })
  const first = (await post(event('a', 1))).json()
  const again = (await post(event('a', 2))).json()
  t.match(first.stream, /^test:key:events:\d$/)
  t.equal(again.stream, first.stream)
  t.equal(await redis.xlen(prefix + first.stream), 2)

  const keys = Array.from({ length: 20 }, (_, n) => event(`k${n}`, n))
  const batch = (await post(keys, '/events/batch')).json()
  t.equal(batch.accepted, 20)
  t.equal(new Set(batch.results.map(({ stream }: { stream: string }) => stream)).size, 4)
  const lengths = async () => {
    const streams = Array.from({ length: 4 }, (_, n) => redis.xlen(`${prefix}test:key:events:${n}`))
    return (await Promise.all(streams)).reduce((sum, n) => sum + n, 0)
  }
  t.equal(await lengths(), 22)

  const refused = await post([event('a', 3), event(undefined, 4), event(undefined, 5)], '/events/batch')
  t.equal(refused.statusCode, 422)
  t.match(refused.json(), { code: 'missing-partition-key', errors: [{ pointer: '/1' }, { pointer: '/2' }] })
  t.match((await post(event(undefined, 6))).json(), { status: 422, code: 'missing-partition-key' })
  t.equal(await lengths(), 22)
})
