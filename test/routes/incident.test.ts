import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { createKeys } from '../../src/streams/keys.ts'
import { type GatewayProcess, startGateway } from '../fixtures/gateway.ts'
import { copyPrograms, generateClients } from '../fixtures/generated-clients.ts'
import type { Stage } from '../fixtures/incident.ts'
import { testRedis } from '../fixtures/redis.ts'

t.test(
  'an incident, through a client generated from openapi.yaml: seen, understood, repaired at a set rate over a restart, and told by the audit',
  async (t) => {
    const folder = await generateClients(t, ['hey-api'])
    await copyPrograms(folder, ['incident.ts', 'until.ts'])
    const { redis, url, prefix } = await testRedis(t)
    const env = { REDIS_URL: url, KEY_PREFIX: prefix, TOPOLOGY: 'test/fixtures/warehouse.ts', CONSUMERS: 'on' }
    let running: GatewayProcess[] = []
    const restart: Stage['restart'] = async (gateways) => {
      await Promise.all(running.map(({ kill }) => kill('SIGTERM')))
      running = await Promise.all(Array.from({ length: gateways }, () => startGateway(t, env)))
      return `http://127.0.0.1:${running[0]?.port}`
    }
    const { own } = createKeys(prefix)
    await redis.set(own('warehouse'), 'down')
    const repair = () => redis.del(own('warehouse'))
    const tried = () => redis.lrange(own('tried'), 0, -1)
    const { incident } = await import(pathToFileURL(join(folder, 'incident.ts')).href)
    await incident(t, { restart, repair, tried })
  }
)
