import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { createKeys } from '../../src/streams/keys.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { startTraffic } from '../fixtures/order-traffic.ts'
import { startRedis } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

const KILLS = 5
const STOPPED_MS = 3_500

const keys = createKeys('').of('orders:order:created')
const patiently = { deadlineMs: 60_000 }

t.test(
  'connections killed, the log rewritten, Redis stopped: every 202 is stored once, every 503 at most once',
  async (t) => {
    // A rewrite of the log takes as long as it does with millions of keys.
    const args = ['--appendonly', 'yes', '--appendfsync', 'always', '--rdb-key-save-delay', '300']
    const server = await startRedis(t, { args })
    const redis = server.client()
    const env = {
      REDIS_URL: server.url,
      TOPOLOGY: 'test/fixtures/handled.ts',
      CONSUMERS: 'on',
      COMMAND_TIMEOUT_MS: '1000'
    }
    const gateways = await Promise.all([startGateway(t, env), startGateway(t, env)])
    const ports = gateways.map(({ port }) => port)
    const traffic = startTraffic({ perSecond: 300, ports: () => ports, handlerMs: (n) => n % 20 })
    t.teardown(traffic.stop)
    const goesOn = async () => {
      const before = traffic.stored.size
      await until(() => traffic.stored.size > before + 100, { ...patiently, what: 'orders are stored again' })
    }
    await goesOn()

    for (let kills = 0; kills < KILLS; kills += 1) {
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      await pause(1_000)
    }
    await goesOn()

    await redis.call('BGREWRITEAOF')
    const rewriting = async () => /aof_rewrite_in_progress:1/.test(await redis.info('persistence'))
    t.ok(await rewriting(), 'the log is being rewritten')
    const before = traffic.stored.size
    await until(async () => !(await rewriting()), patiently)
    t.ok(traffic.stored.size > before, `${traffic.stored.size - before} orders were stored while the log was rewritten`)

    server.pause()
    await pause(STOPPED_MS)
    server.resume()
    await goesOn()
    await traffic.stop()

    const refusals = Map.groupBy(traffic.refused.values(), (refusal) => refusal)
    t.comment(
      `${traffic.stored.size} stored`,
      Array.from(refusals, ([refusal, all]) => `${all.length} ${refusal}`)
    )
    for (const refusal of refusals.keys()) t.match(refusal, /^503 (outcome-unknown|store-down|overloaded)$/)
    const entries = await redis.xrange(keys.stream, '-', '+')
    const entryIds = new Map(entries.map(([entryId, fields]) => [fields[1] as string, entryId]))
    t.equal(entryIds.size, entries.length, 'nothing is in the stream twice')
    t.same(
      [...traffic.stored].filter(([id, entryId]) => entryIds.get(id) !== entryId),
      [],
      'every 202 is in it'
    )
    t.same(
      [...entryIds.keys()].filter((id) => !traffic.stored.has(id) && !traffic.refused.has(id)),
      []
    )

    const { counts, dead, delayed } = keys.group('g')
    await until(async () => (await redis.hlen('handled')) === entries.length, { ...patiently, what: 'all are handled' })
    await until(async () => ((await redis.xpending(keys.stream, 'g')) as [number])[0] === 0, { what: 'none is stuck' })
    t.same(await redis.hmget(counts, 'crashes', 'redeliveries', 'lost', 'deadTotal'), [null, null, null, null])
    t.same([await redis.xlen(dead), await redis.zcard(delayed)], [0, 0])
    t.equal(await redis.zscore('attempts', 'highest'), '1', 'no attempt was charged')
  }
)
