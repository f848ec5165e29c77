import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { createKeys } from '../../src/streams/keys.ts'
import { type GatewayProcess, startGateway } from '../fixtures/gateway.ts'
import { startTraffic } from '../fixtures/order-traffic.ts'
import { startRedis } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

const PROCESSES = 3
const PER_SECOND = 1_000
/** How often the balancer asks each gateway. */
const PROBE_MS = 50
const patiently = { deadlineMs: 30_000 }

/** What a load balancer does: requests go to the gateways whose last /readyz said 200. */
function balancer(gateways: ReadonlySet<GatewayProcess>) {
  const ready = new Set<number>()
  let stopped = false
  const probe = async ({ port }: GatewayProcess) => {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined)
    await answer?.arrayBuffer()
    if (answer?.status === 200) ready.add(port)
    else ready.delete(port)
  }
  const probing = (async () => {
    while (!stopped) {
      await Promise.all(Array.from(gateways, probe))
      await pause(PROBE_MS)
    }
  })()
  return {
    ports: () => Array.from(ready),
    stop() {
      stopped = true
      return probing
    }
  }
}

t.test('a rolling restart under 1,000 requests per second fails none of them and charges no event', async (t) => {
  const server = await startRedis(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const redis = server.client()
  const keys = createKeys('').of('orders:order:created')
  const env = {
    REDIS_URL: server.url,
    TOPOLOGY: 'test/fixtures/handled.ts',
    CONSUMERS: 'on',
    LOG_LEVEL: 'info',
    DRAIN_DELAY_MS: '300',
    SHUTDOWN_GRACE_MS: '700'
  }
  const old = await Promise.all(Array.from({ length: PROCESSES }, () => startGateway(t, env)))
  const gateways = new Set(old)
  const balance = balancer(gateways)
  t.teardown(balance.stop)
  await until(() => balance.ports().length === PROCESSES, { what: 'all are ready' })
  // One in 500 takes longer than the grace: it is handed over, and handled by another process.
  const traffic = startTraffic({
    perSecond: PER_SECOND,
    ports: balance.ports,
    handlerMs: (n) => (n % 500 === 499 ? 1_000 : n % 10),
    // Where other work leaves too little of the machine, a gateway says so: that has nothing to do with the restart.
    retried: ['overloaded']
  })
  t.teardown(traffic.stop)
  await until(() => traffic.stored.size > PER_SECOND / 2, patiently)
  const replacements = await Promise.all(old.map(() => startGateway(t, env)))
  for (const [n, leaving] of old.entries()) {
    gateways.add(replacements[n] as GatewayProcess)
    await until(() => balance.ports().length === PROCESSES + 1, { what: 'its replacement is ready' })
    t.equal(await leaving.kill('SIGTERM'), 0, 'it exits in order')
    gateways.delete(leaving)
  }
  const before = traffic.stored.size
  await until(() => traffic.stored.size > before + PER_SECOND / 2, patiently)
  await traffic.stop()
  await balance.stop()

  t.same([...traffic.refused], [], 'no request failed')
  t.comment(`${traffic.stored.size} orders; sent again: ${JSON.stringify([...traffic.retries])}`)
  const entries = new Map((await redis.xrange(keys.stream, '-', '+')).map(([entryId, fields]) => [fields[1], entryId]))
  t.equal(await redis.xlen(keys.stream), traffic.stored.size, 'each is stored once')
  t.same(
    [...traffic.stored].filter(([id, entryId]) => entries.get(id) !== entryId),
    [],
    'under the entry id it was told'
  )

  const { counts, delayed, dead } = keys.group('g')
  await until(async () => (await redis.hlen('handled')) === traffic.stored.size, {
    ...patiently,
    what: 'every order is handled'
  })
  await until(async () => ((await redis.xpending(keys.stream, 'g')) as [number])[0] === 0, {
    ...patiently,
    what: 'none is stuck'
  })
  const charged = await redis.hmget(counts, 'crashes', 'redeliveries', 'lost', 'deadTotal')
  t.same(charged, [null, null, null, null], 'no crash, no takeover, nothing lost or dead')
  t.equal(await redis.zscore('attempts', 'highest'), '1', 'no attempt was charged')
  t.same([await redis.zcard(delayed), await redis.xlen(dead)], [0, 0])
  const twice = Object.values(await redis.hgetall('handled')).filter((times) => times !== '1').length
  t.comment(`${twice} orders were handled more than once`)
})
