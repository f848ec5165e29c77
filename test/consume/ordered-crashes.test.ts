import t from 'tap'
import { type OrderedProcess, orderedScene } from '../fixtures/ordered.ts'
import { until } from '../fixtures/until.ts'

t.test('a process paused past its lease cannot acknowledge, fail or publish', async (t) => {
  const scene = await orderedScene(t, 1)
  const group = { staleAfterMs: 1_000, backoff: { minMs: 100, factor: 1, jitter: 0 } }
  const both = [await scene.spawn(group), await scene.spawn(group)]
  // The one whose name comes first owns the only partition, as soon as each knows of the other.
  const [sleeper, successor] = both.toSorted((a, b) => (a.consumer < b.consumer ? -1 : 1)) as [
    OrderedProcess,
    OrderedProcess
  ]
  await until(async () => (await scene.owners())[0] === sleeper.consumer)
  await scene.append([
    { key: 'acks', n: 0, ms: 700 },
    { key: 'fails', n: 0, ms: 700, fails: 1 },
    { key: 'publishes', n: 0, ms: 700, publish: true }
  ])
  await until(async () => (await scene.records('publishes')).length === 1)
  const fence = (await scene.records('publishes'))[0]?.fence ?? 0
  sleeper.kill('SIGSTOP')
  await until(async () => (await scene.owners())[0] === successor.consumer, { what: 'the lease has run out' })
  await until(async () => (await scene.records('acks')).filter(({ what }) => what === 'start').length === 2)
  sleeper.kill('SIGCONT')
  await until(async () => (await scene.open()) === 0)
  const sleepers = async (key: string) => (await scene.records(key)).filter((record) => record.fence === fence)
  const successors = async (key: string) => (await scene.records(key)).filter((record) => record.fence > fence)
  await until(async () => (await sleepers('publishes')).some(({ what }) => what === 'refused'), {
    what: 'its publish is refused'
  })
  t.notOk((await sleepers('publishes')).some(({ what }) => what === 'published'))
  for (const key of ['acks', 'fails', 'publishes']) {
    const aborted = (await sleepers(key)).some(({ what }) => what === 'aborted')
    t.ok(aborted, `${key}: its signal aborts`)
    t.ok(
      (await successors(key)).some(({ what }) => what === 'end'),
      'and another lease handles the event'
    )
  }
  t.same(
    (await successors('fails')).filter(({ what }) => what === 'start').map(({ attempt }) => attempt),
    [1, 2],
    'the failure of the sleeper was not charged'
  )
  t.equal(Number(await scene.redis.hget(scene.keys[0]?.group('g').counts ?? '', 'acked')), 3)
  t.same(await scene.deadLetters(), [])
})

t.test('without a successor, what is done after the lease is refused all the same', async (t) => {
  const scene = await orderedScene(t, 1)
  const sleeper = await scene.spawn({ staleAfterMs: 1_000 })
  await scene.append([{ key: 'a', n: 0, ms: 300 }])
  await until(async () => (await scene.records('a')).length === 1)
  sleeper.kill('SIGSTOP')
  const { lease } = scene.keys[0]?.group('g') ?? { lease: '' }
  const runsOut = Number(await scene.redis.hget(lease, 'until'))
  await until(async () => Number((await scene.redis.time())[0]) * 1_000 > runsOut + 1_000)
  sleeper.kill('SIGCONT')
  await until(async () => (await scene.open()) === 0)
  const fences = (await scene.records('a')).filter(({ what }) => what === 'start').map(({ fence }) => fence)
  t.equal(fences.length, 2, 'it runs again')
  t.ok((fences[1] ?? 0) > (fences[0] ?? 0), 'under a new lease')
})

t.test('an event that ends its process becomes a dead letter; its key and the innocent go on', async (t) => {
  const scene = await orderedScene(t, 2)
  const group = { staleAfterMs: 1_000, maxAttempts: 3, concurrency: 8 }
  const others = Array.from({ length: 12 }, (_, key) => [0, 1, 2].map((n) => ({ key: `k${key}`, n, ms: 40 }))).flat()
  await scene.append([{ key: 'poison', n: 0, ms: 20, does: 'abort' }, { key: 'poison', n: 1 }, ...others])
  let deaths = 0
  let stopped = false
  const supervise = async () => {
    while (!stopped) {
      const process = await scene.spawn(group)
      await Promise.race([process.exited, until(() => stopped, { deadlineMs: 60_000 })])
      if (process.child.signalCode === 'SIGABRT') deaths += 1
    }
  }
  const running = Promise.all([supervise(), supervise()])
  await until(async () => (await scene.open()) === 0, { deadlineMs: 60_000 })
  stopped = true
  await running
  t.match(await scene.deadLetters(), [{ reason: 'crashed', crashes: 3, event: { id: 'poison-0' } }])
  t.ok(deaths <= 4, `${deaths} processes died of it`)
  t.same(
    (await scene.records('poison')).filter(({ what }) => what === 'end').map(({ n }) => n),
    [1]
  )
  for (let key = 0; key < 12; key += 1) {
    const ended = (await scene.records(`k${key}`)).filter(({ what }) => what === 'end').map(({ n }) => n)
    t.same([...new Set(ended)], [0, 1, 2])
    t.same(ended, ended.toSorted(), 'in order')
  }
})

t.test('an outage of Redis longer than a lease moves nothing to another process', async (t) => {
  const scene = await orderedScene(t, 4)
  const processes = [await scene.spawn({ staleAfterMs: 1_000 }), await scene.spawn({ staleAfterMs: 1_000 })]
  await until(async () => (await scene.spread(processes)).every((count) => count === 2))
  const before = await scene.owners()
  const { redis, server } = scene
  const generation = async () => Number(await redis.hget(scene.keys[0]?.group('g').lease ?? '', 'generation'))
  const first = await generation()
  server.pause()
  const resumeAt = performance.now() + 2_000
  await until(() => performance.now() > resumeAt)
  server.resume()
  await until(async () => (await generation()) > first, { what: 'the owners have claimed them again' })
  await scene.append([0, 1, 2, 3, 4, 5, 6, 7].map((key) => ({ key: `k${key}`, n: 0 })))
  await until(async () => (await scene.open()) === 0)
  t.same(await scene.owners(), before)
})
