import t from 'tap'
import { createConsumers } from '../../src/consume/consumers.ts'
import type { GroupOptions } from '../../src/topology-options.ts'
import { testRedis } from '../fixtures/redis.ts'
import { quietLog, testStreams } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

t.test('an unordered group reads all partitions of its stream, and starts and stops once', async (t) => {
  const { url } = await testRedis(t)
  const handled = new Set<string>()
  const calls: string[] = []
  const group: GroupOptions = {
    handler: async ({ id }, { stream }) => void handled.add(`${stream} ${id}`),
    start: async () => void calls.push('start'),
    stop: async () => void calls.push('stop')
  }
  const streams = await testStreams(t, url, {
    parts: { partitions: 4, partitionKey: (event) => event.id, groups: { group } }
  })
  const { topology, connections, keys } = streams
  const publish = async () => ({ stored: false, code: 'store-down' }) as const
  const consumers = createConsumers({ topology, connections, keys, publish, log: quietLog })
  await consumers.start()
  t.equal(consumers.workers.length, 4)
  await streams.post(
    'parts',
    Array.from({ length: 40 }, (_, n) => n)
  )
  await until(() => handled.size === 40)
  t.ok(handled.has('parts n7'), "handlers see the stream's own name")
  const lag = await streams.lag()
  t.same(
    lag.map(({ stream }) => stream),
    ['parts:0', 'parts:1', 'parts:2', 'parts:3']
  )
  await consumers.stop(1_000)
  t.same(calls, ['start', 'stop'])
})
