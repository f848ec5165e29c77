import t from 'tap'
import { ensureGroup } from '../../src/streams/groups.ts'
import { consumeScene } from '../fixtures/consumers.ts'
import { startRedis } from '../fixtures/redis.ts'
import { testStreams } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

t.test('a group that is stopped for the whole run loses nothing and delays nobody', async (t) => {
  const scene = await consumeScene(t)
  await ensureGroup({ redis: scene.redis, keys: scene.keys, group: 'stopped' }, 'beginning')
  const working = await scene.spawn({ working: {} })
  const events = 500
  await scene.append(
    'order',
    Array.from({ length: events }, (_, n) => ({ ms: n % 10 }))
  )
  await until(() => working.seen('end').length === events)

  const late = await scene.spawn({ stopped: {} })
  await until(() => late.seen('end').length === events)
  t.equal(new Set(late.seen('end').map(({ id }) => id)).size, events)
  t.same(await scene.deadLetters('stopped'), [])
  t.equal(working.seen('start').length, events)
})

t.test('an abandoned external group does not stop producers; its loss is counted exactly', async (t) => {
  const server = await startRedis(t)
  const name = 'orders:order:created'
  const retention = { maxLength: 100, hardLimit: 400 }
  const streams = await testStreams(t, server.url, {
    [name]: { retention, groups: { abandoned: { external: true } } }
  })
  const redis = server.client()
  const { stream, group } = streams.keys.of(name)
  // It read 30 once, and acknowledged 10 of them.
  const numbers = (from: number, count: number) => Array.from({ length: count }, (_, n) => from + n)
  await streams.post(name, numbers(0, 50))
  const reply = await redis.xreadgroup('GROUP', 'abandoned', 'someone', 'COUNT', 30, 'STREAMS', stream, '>')
  const [[, read] = ['', []]] = reply ?? []
  await redis.xack(stream, 'abandoned', ...read.slice(0, 10).map(([id]) => id))
  let appended = 50
  while (appended < 3_000) {
    const results = await streams.post(name, numbers(appended, 50))
    t.ok(results.every(({ stored }) => stored))
    appended += 50
  }
  await until(async () => {
    const lost = Number(await redis.hget(group('abandoned').counts, 'lost'))
    // What it had read was delivered; everything else is either still there or counted.
    return lost > 0 && lost + (await redis.xlen(stream)) + 30 === appended
  })
})
