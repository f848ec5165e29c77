import t from 'tap'
import { takeTokens } from '../../src/streams/groups.ts'
import { consumeScene } from '../fixtures/consumers.ts'
import { until } from '../fixtures/until.ts'

t.test('ratePerSecond holds over all processes of a group together, and is used up', async (t) => {
  const scene = await consumeScene(t)
  const ratePerSecond = 60
  const groups = { g: { ratePerSecond, concurrency: 16 } }
  const processes = await Promise.all([scene.spawn(groups), scene.spawn(groups), scene.spawn(groups)])
  const events = 240
  await scene.append(
    'order',
    Array.from({ length: events }, (_, n) => ({ ms: n % 20 }))
  )
  await until(() => processes.flatMap((process) => process.seen('end')).length === events, { deadlineMs: 20_000 })
  const starts = processes.flatMap((process) => process.seen('start').map(({ at }) => at)).sort((a, b) => a - b)
  const tookMs = (starts.at(-1) ?? 0) - (starts[0] ?? 0)
  // A bucket holds a tenth of a second; what a process has taken and not used is good for one second.
  const most = Math.max(...starts.map((begin) => starts.filter((at) => at >= begin && at < begin + 1_000).length))
  t.ok(most <= ratePerSecond * 1.3, `at most ${most} starts in any second`)
  t.ok(tookMs >= 3_700, `not faster than the limit: ${Math.round(tookMs)} ms`)
  t.ok(tookMs < 8_000, `not much slower either: ${Math.round(tookMs)} ms`)
  t.ok(
    processes.every((process) => process.seen('start').length > 20),
    'every process has its share'
  )
})

t.test('suspects keep to the rate limit too', async (t) => {
  const scene = await consumeScene(t)
  const victim = await scene.spawn({ g: { staleAfterMs: 600 } })
  await scene.append(
    'order',
    Array.from({ length: 12 }, () => ({ ms: 400 }))
  )
  await until(() => victim.running() === 12)
  victim.kill('SIGKILL')
  await victim.exited
  const rescuer = await scene.spawn({ g: { staleAfterMs: 600, ratePerSecond: 20 } })
  await until(() => rescuer.seen('start').length === 12, { what: 'all suspects have started' })
  const at = rescuer.seen('start').map((report) => report.at)
  const atOnce = Math.max(...at.map((begin) => at.filter((start) => start >= begin && start < begin + 100).length))
  t.ok(atOnce <= 4, `${atOnce} of 12 start within 100 ms`)
})

t.test(
  'a bucket holds a tenth of a second, takes tokens back, works at maxmemory, and empties by itself',
  async (t) => {
    const { redis, keys } = await consumeScene(t)
    const address = { redis, keys, group: 'g' }
    t.match(await takeTokens(address, 100, 50), { taken: 10 })
    t.match(await takeTokens(address, 0.1, 5), { taken: 0, waitMs: Number })
    await takeTokens(address, 100, -6)
    await redis.config('SET', 'maxmemory', '1')
    const { taken } = await takeTokens(address, 100, 50)
    t.ok(taken >= 6 && taken <= 10, `${taken}`)
    await redis.config('SET', 'maxmemory', '0')
    const { rate } = keys.group('g')
    await until(async () => (await redis.exists(rate)) === 0, { what: 'a full bucket is no key' })
    t.match(await takeTokens(address, 0.5, 5), { taken: 1, waitMs: 2_000 }, 'a slow limit starts with one')
  }
)
