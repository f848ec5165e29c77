import t from 'tap'
import { createKeys } from '../../src/streams/keys.ts'
import { orderedScene } from '../fixtures/ordered.ts'
import { until } from '../fixtures/until.ts'

const quick = { staleAfterMs: 1_000, backoff: { minMs: 300, factor: 1, jitter: 0 } }

t.test('a failing event holds its key up, and nothing else of its partition', async (t) => {
  const scene = await orderedScene(t, 1)
  await scene.append([
    { key: 'a', n: 0, fails: 3 },
    { key: 'a', n: 1 },
    ...Array.from({ length: 50 }, (_, n) => ({ key: `b${n % 5}`, n: Math.floor(n / 5) }))
  ])
  await scene.spawn(quick)
  await until(async () => (await scene.open()) === 0)
  const a = await scene.records('a')
  t.same(
    a.map(({ what, n, attempt }) => `${what} ${n} ${attempt}`),
    [
      ...['start 0 1', 'failed 0 1', 'start 0 2', 'failed 0 2', 'start 0 3', 'failed 0 3'],
      ...['start 0 4', 'end 0 4', 'start 1 1', 'end 1 1']
    ]
  )
  for (let key = 0; key < 5; key += 1) {
    const records = await scene.records(`b${key}`)
    t.same(
      records.filter(({ what }) => what === 'end').map(({ n }) => n),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    )
    t.ok((records.at(-1)?.at ?? 0) < (a[2]?.at ?? 0), 'its siblings are done before the second attempt')
  }
})

t.test('an exhausted event becomes a dead letter, and its key goes on', async (t) => {
  const scene = await orderedScene(t, 2)
  await scene.append([
    { key: 'a', n: 0, fails: 9 },
    { key: 'a', n: 1 }
  ])
  await scene.spawn({ ...quick, maxAttempts: 2 })
  await until(async () => (await scene.open()) === 0)
  t.match(await scene.deadLetters(), [{ reason: 'exhausted', attempts: 2, event: { id: 'a-0' }, errors: { total: 2 } }])
  t.same(
    (await scene.records('a')).filter(({ what }) => what === 'end').map(({ n }) => n),
    [1]
  )
})

t.test('new events are handled at once', async (t) => {
  const scene = await orderedScene(t, 4)
  await scene.spawn(quick)
  await until(async () => (await scene.owners()).every((owner) => owner !== ''))
  for (let n = 0; n < 5; n += 1) {
    const since = performance.now()
    await scene.append([{ key: 'late', n }])
    await until(async () => (await scene.open()) === 0)
    t.ok(performance.now() - since < 400, `after ${Math.round(performance.now() - since)} ms`)
  }
})

t.test('processes share the partitions evenly as they come, go in order, and are killed', async (t) => {
  const scene = await orderedScene(t, 8)
  const even = (processes: Parameters<typeof scene.spread>[0]) =>
    until(
      async () => {
        const counts = await scene.spread(processes)
        const sum = counts.reduce((a, b) => a + b, 0)
        return sum === 8 && Math.max(...counts) - Math.min(...counts) <= 1
      },
      { what: `${processes.length} processes share evenly` }
    )
  const group = { staleAfterMs: 2_000 }
  const [a, b] = [await scene.spawn(group), await scene.spawn(group)]
  await even([a, b])
  const c = await scene.spawn(group)
  await even([a, b, c])
  const since = performance.now()
  await b.stop(1_000)
  await even([a, c])
  t.ok(performance.now() - since < 3_000, 'an orderly end frees its partitions at once')
  const d = await scene.spawn(group)
  await even([a, c, d])
  a.kill('SIGKILL')
  await even([c, d])
})

t.test('behind a failing event no more than maxHeld are read ahead', async (t) => {
  const scene = await orderedScene(t, 1)
  await scene.append(Array.from({ length: 50 }, (_, n) => ({ key: 'a', n, fails: n === 0 ? 1 : 0 })))
  await scene.spawn({ staleAfterMs: 1_000, maxHeld: 10, backoff: { minMs: 1_500, factor: 1, jitter: 0 } })
  await until(async () => (await scene.records('a')).some(({ what }) => what === 'failed'))
  const pending = async () => (await scene.redis.xpending(scene.keys[0]?.stream ?? '', 'g'))[0]
  await until(async () => (await pending()) === 10)
  let most = 0
  await until(async () => {
    most = Math.max(most, Number(await pending()))
    return (await scene.records('a')).length > 3
  })
  t.equal(most, 10)
  await until(async () => (await scene.open()) === 0)
  const ended = (await scene.records('a')).filter(({ what }) => what === 'end').map(({ n }) => n)
  t.same(
    ended,
    Array.from({ length: 50 }, (_, n) => n)
  )
})

t.test('a replayed event runs with its history, after the newer ones of its key, and is removed', async (t) => {
  const scene = await orderedScene(t, 1)
  const { requeue } = scene.keys[0]?.group('g') ?? { requeue: '' }
  const [letter] = await scene.append([{ key: 'a', n: 0 }])
  await scene.spawn({ ...quick, types: ['test.event'] })
  await until(async () => (await scene.open()) === 0)
  const retry = ['retry.entryId', String(letter), 'retry.attempts', '2', 'retry.crashes', '0', 'retry.errors', '']
  const fields = ['id', 'a-9', 'source', '/test', 'type', 'test.event', 'subject', 'a', 'data', '{"n":9}']
  await scene.redis.xadd(requeue, '*', ...fields, ...retry)
  await until(async () => (await scene.records('a')).some(({ what, n }) => what === 'end' && n === 9))
  t.match((await scene.records('a')).at(-1), { attempt: 3 })
  await until(async () => (await scene.redis.xlen(requeue)) === 0)
})

t.test('a paused group starts nothing, and keeps its partitions', async (t) => {
  const scene = await orderedScene(t, 2)
  const { paused } = createKeys(scene.prefix).of('test:key:events').group('g')
  const process = await scene.spawn(quick)
  await until(async () => (await scene.spread([process]))[0] === 2)
  await scene.redis.set(paused, '1')
  const beats = async () => Number(await scene.redis.hget(scene.keys[0]?.group('g').lease ?? '', 'until'))
  const [first] = [await beats()]
  await until(async () => (await beats()) > first + 600, { what: 'two more heartbeats' })
  await scene.append([{ key: 'a', n: 0 }])
  const second = await beats()
  await until(async () => (await beats()) > second + 600)
  t.same(await scene.records('a'), [])
  await scene.redis.del(paused)
  await until(async () => (await scene.open()) === 0)
  t.same(await scene.spread([process]), [2])
})
