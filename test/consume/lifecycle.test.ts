import t from 'tap'
import { Type } from 'typebox'
import { createConsumers } from '../../src/consume/consumers.ts'
import { createConnections } from '../../src/streams/connections.ts'
import { createKeys } from '../../src/streams/keys.ts'
import { defineTopology } from '../../src/topology.ts'
import type { GroupOptions } from '../../src/topology-options.ts'
import { as, testApp } from '../fixtures/app.ts'
import { testRedis } from '../fixtures/redis.ts'
import { quietLog } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

t.test('a group starts before its first event and stops after its last, with its handlers’ connection', async (t) => {
  const { url, prefix, redis } = await testRedis(t)
  const steps: string[] = []
  const group: GroupOptions = {
    async start({ redis }) {
      steps.push(`start ${await redis.ping()}`)
    },
    async handler({ id }) {
      steps.push(`begin ${id}`)
      await new Promise((resolve) => setTimeout(resolve, 200))
      steps.push(`end ${id}`)
    },
    async stop() {
      steps.push('stop')
    }
  }
  const keys = createKeys(prefix)
  await redis.xadd(keys.of('s').stream, '*', 'id', 'one', 'source', '/test', 'type', 'a.b')
  const connections = createConnections({ url }, quietLog)
  t.teardown(() => connections.close())
  await connections.connect()
  const publish = async () => ({ stored: false, code: 'store-down' }) as const
  const topology = defineTopology({ streams: { s: { groups: { g: group } } } })
  const consumers = createConsumers({ topology, connections, keys, publish, log: quietLog })
  await consumers.start()
  await until(() => steps.length === 2)
  await consumers.stop(5_000)
  t.same(steps, ['start PONG', 'begin one', 'end one', 'stop'])
  t.equal(await redis.zcard(keys.of('s').group('g').live), 0)
})

t.test('with CONSUMERS=off a process takes events in and handles none; another one does', async (t) => {
  const handled: string[] = []
  const handler = async ({ id }: { id: string }) => void handled.push(id)
  const topology = defineTopology({ streams: { s: { events: { 'a.b': Type.Unknown() }, groups: { g: { handler } } } } })
  const { app, redis, prefix, server } = await testApp(t, { topology, CONSUMERS: 'off' })
  const response = await app.inject({
    method: 'POST',
    url: '/events',
    headers: as('publisher'),
    payload: { type: 'a.b', id: 'one', data: {} }
  })
  t.equal(response.statusCode, 202)
  const { live } = createKeys(prefix).of('s').group('g')
  t.equal(await redis.exists(live), 0, 'no consumer lives')
  t.same(handled, [])

  const connections = createConnections({ url: server.url }, quietLog)
  await connections.connect()
  const publish = async () => ({ stored: false, code: 'store-down' }) as const
  const consumers = createConsumers({ topology, connections, keys: createKeys(prefix), publish, log: quietLog })
  await consumers.start()
  await until(() => handled.length === 1)
  await consumers.stop(0)
  await connections.close()
})
