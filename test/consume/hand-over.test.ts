import t from 'tap'
import { consumeScene } from '../fixtures/consumers.ts'
import { until } from '../fixtures/until.ts'

t.test('a process that stops hands everything back uncharged, and another has it within 1 s', async (t) => {
  const scene = await consumeScene(t)
  const groups = { g: { concurrency: 8 } }
  const leaving = await scene.spawn(groups)
  await scene.append(
    'order',
    Array.from({ length: 8 }, () => ({ ms: 2_000 }))
  )
  await until(() => leaving.running() === 8)
  const staying = await scene.spawn(groups)
  await scene.append('retry', [{ does: 'throw' }])
  await leaving.stop(100)
  const stoppedAt = leaving.seen('stopped')[0]?.at ?? 0
  t.equal(leaving.seen('aborted').length, 8, 'the signal of each handler aborts after the grace')
  await until(() => staying.seen('start').filter(({ id }) => id?.startsWith('order')).length === 8)
  const latest = Math.max(
    ...staying
      .seen('start')
      .filter(({ id }) => id?.startsWith('order'))
      .map(({ at }) => at)
  )
  t.ok(latest - stoppedAt < 1_000, `the last one starts ${Math.round(latest - stoppedAt)} ms after the stop`)
  t.ok(staying.seen('start').every(({ attempt }) => attempt === 1))
  t.equal(await scene.count('g', 'crashes'), 0)
  t.equal(await scene.redis.zscore(scene.group('g').live, leaving.consumer), null)
  const consumers = (await scene.redis.xinfo('CONSUMERS', scene.keys.stream, 'g')) as string[][]
  t.notOk(
    consumers.some((fields) => fields.includes(leaving.consumer)),
    'its name is gone'
  )
})

t.test('a process that stops with idle handlers does so at once, though its read is blocked', async (t) => {
  const scene = await consumeScene(t)
  const leaving = await scene.spawn({ g: {}, h: {} })
  await until(async () => String(await scene.redis.client('LIST')).includes('cmd=xreadgroup'))
  const begin = performance.now()
  await leaving.stop(5_000)
  const tookMs = performance.now() - begin
  t.ok(tookMs < 500, `${Math.round(tookMs)} ms`)
})

t.test('a stopped owner loses its entry; woken, its failure and its publish are refused', async (t) => {
  const scene = await consumeScene(t)
  const groups = { g: { staleAfterMs: 1_000, maxAttempts: 2, backoff: { minMs: 50 } } }
  const owner = await scene.spawn(groups)
  await scene.append('order', [
    { ms: 700, publish: true },
    { ms: 700, does: 'throw' }
  ])
  await until(() => owner.running() === 2)
  owner.kill('SIGSTOP')
  const other = await scene.spawn({ g: { ...groups.g, maxAttempts: 9 } })
  await until(() => other.seen('published', 'order-0').length === 1 && other.seen('failed', 'order-1').length === 1)
  owner.kill('SIGCONT')
  await until(() => owner.running() === 0)
  t.equal(owner.seen('publish-refused', 'order-0').length, 1)
  t.equal(owner.seen('published').length, 0)
  t.equal(owner.seen('failed', 'order-1').length, 1)
  await until(() => other.seen('start', 'order-1').length >= 2 || owner.seen('start', 'order-1').length >= 2)
  const attempts = [...owner.seen('start', 'order-1'), ...other.seen('start', 'order-1')]
    .map(({ attempt }) => attempt)
    .sort()
  t.same(attempts, [1, 1, 2], 'the refused failure charged no attempt')
  t.equal(await scene.count('g', 'crashes'), 2)
})

t.test('a live handler slower than staleAfterMs is not robbed', async (t) => {
  const scene = await consumeScene(t)
  const groups = { g: { staleAfterMs: 400 } }
  const processes = await Promise.all([scene.spawn(groups), scene.spawn(groups), scene.spawn(groups)])
  await scene.append(
    'order',
    Array.from({ length: 12 }, () => ({ ms: 2_500 }))
  )
  await until(() => processes.reduce((sum, process) => sum + process.seen('end').length, 0) === 12)
  t.equal(
    processes.reduce((sum, process) => sum + process.seen('start').length, 0),
    12
  )
  t.equal(await scene.count('g', 'redeliveries'), 0)
})
