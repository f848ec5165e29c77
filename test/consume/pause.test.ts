import t from 'tap'
import { type GroupAddress, pauseGroup, resumeGroup } from '../../src/streams/groups.ts'
import { consumeScene } from '../fixtures/consumers.ts'
import { until } from '../fixtures/until.ts'

t.test('a paused group starts nothing in any process, also at maxmemory; resumed it goes on', async (t) => {
  const scene = await consumeScene(t)
  const processes = await Promise.all([scene.spawn({ g: {}, h: {} }), scene.spawn({ g: {}, h: {} })])
  const started = (group: string) =>
    processes.flatMap((process) => process.seen('start')).filter((report) => report.group === group)
  const at: GroupAddress = { redis: scene.redis, keys: scene.keys, group: 'g' }
  await scene.append('before', [{}])
  await until(() => started('g').length === 1 && started('h').length === 1)

  await scene.redis.config('SET', 'maxmemory', '1')
  const { changed, since } = await pauseGroup(at)
  t.equal(changed, true)
  await scene.redis.config('SET', 'maxmemory', '0')
  t.same(await pauseGroup(at), { changed: false, since }, 'a second pause keeps the time of the first')
  const pausedAt = performance.now()
  const reading = async () =>
    String(await scene.redis.client('LIST'))
      .split('\n')
      .filter((line) => line.includes(':g ') && line.includes('flags=b'))
  await until(async () => (await reading()).length === 0, { deadlineMs: 5_000, what: 'both processes obey' })
  t.ok(performance.now() - pausedAt < 2_000, `${Math.round(performance.now() - pausedAt)} ms`)
  await scene.append('during', [{}, {}, {}])
  await until(() => started('h').length === 4, { what: 'the other group goes on' })
  const beats = async () => scene.redis.zrange(scene.group('g').live, '0', '-1', 'WITHSCORES')
  const oldest = async () => Math.min(...(await beats()).filter((_, i) => i % 2 === 1).map(Number))
  const seen = await oldest()
  await until(async () => (await oldest()) > seen + 900, { what: 'two more heartbeats of each' })
  t.equal(started('g').length, 1)

  t.equal(await resumeGroup(at), true)
  t.equal(await resumeGroup(at), false)
  await until(() => started('g').length === 4)
})

t.test('handlers that run when the pause comes finish; what was read and not started waits', async (t) => {
  const scene = await consumeScene(t)
  const process = await scene.spawn({ g: { concurrency: 2, ratePerSecond: 10 } })
  await scene.append(
    'order',
    Array.from({ length: 12 }, () => ({ ms: 300 }))
  )
  await until(() => process.seen('start').length >= 3)
  const at: GroupAddress = { redis: scene.redis, keys: scene.keys, group: 'g' }
  await pauseGroup(at)
  await until(() => process.running() === 0)
  const before = process.seen('start').length
  const beat = async () => Number(await scene.redis.zscore(scene.group('g').live, process.consumer))
  const since = await beat()
  await until(async () => (await beat()) > since + 900, { what: 'two more heartbeats' })
  t.equal(process.seen('start').length, before)
  await resumeGroup(at)
  await until(() => process.seen('end').length === 12)
})
