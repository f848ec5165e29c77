import t from 'tap'
import { consumeScene } from '../fixtures/consumers.ts'
import { until } from '../fixtures/until.ts'

t.test(
  'an order that always fails follows the backoff, then is one dead letter; the others flow, the stream can be trimmed',
  async (t) => {
    const scene = await consumeScene(t)
    const backoff = { minMs: 600, maxMs: 60_000, factor: 2, jitter: 0 }
    const consumer = await scene.spawn({ g: { backoff, maxAttempts: 3, concurrency: 4 } })
    const [poison] = await scene.append('poison', [{ does: 'throw' }])
    const good = Array.from({ length: 200 }, () => ({}))
    await scene.append('good', good)
    await until(() => consumer.seen('end').length === 200)
    await until(async () => (await scene.redis.zcard(scene.group('g').delayed)) === 1)
    await until(async () => (await scene.pendingOf('g')) === 0, { what: 'nothing is pending while the order waits' })
    await scene.redis.xtrim(scene.keys.stream, 'MAXLEN', 0)

    await until(async () => (await scene.deadLetters('g')).length > 0)
    await until(async () => (await scene.open('g')) === 0)
    const [letter, ...others] = await scene.deadLetters('g')
    t.same(others, [], 'one letter')
    t.match(letter, {
      reason: 'exhausted',
      attempts: 3,
      crashes: 0,
      entryId: poison,
      event: { id: 'poison-0', data: '{"does":"throw"}' }
    })
    t.match(letter?.fingerprint, /^Error: order \* cannot be handled/)
    const history = letter?.errors
    t.equal(history?.total, 3)
    t.match(history?.first[0], {
      name: 'Error',
      message: 'order poison-0 cannot be handled',
      stack: /consumer-process/
    })
    const [first = 0, second = 0, third = 0] = history?.first.map(({ at }) => at) ?? []
    const gaps = [second - first, third - second]
    t.ok((gaps[0] ?? 0) >= 590 && (gaps[0] ?? 0) < 1_150, `first retry after 600 ms: ${gaps[0]}`)
    t.ok((gaps[1] ?? 0) >= 1_190 && (gaps[1] ?? 0) < 1_750, `second retry after 1,200 ms: ${gaps[1]}`)
    t.equal(consumer.seen('start', 'poison-0').length, 3)
    t.same(
      consumer.seen('start', 'poison-0').map(({ attempt, entryId }) => [attempt, entryId]),
      [
        [1, poison],
        [2, poison],
        [3, poison]
      ]
    )
  }
)

t.test('when every order fails, the group stops reading at maxParked, and goes on when there is room', async (t) => {
  const scene = await consumeScene(t)
  const backoff = { minMs: 100, factor: 1, jitter: 0 }
  const groups = { g: { backoff, maxAttempts: 2, concurrency: 4, maxParked: 20 } }
  const consumer = await scene.spawn(groups)
  await scene.append(
    'bad',
    Array.from({ length: 100 }, () => ({ does: 'throw' as const }))
  )
  const { dead, delayed, requeue } = scene.group('g')
  await until(async () => (await scene.redis.xlen(dead)) >= 20)
  const waiting = async () => (await scene.redis.zcard(delayed)) + (await scene.redis.xlen(requeue))
  await until(async () => (await scene.pendingOf('g')) + (await waiting()) === 0)
  const read = new Set(consumer.seen('start').map(({ id }) => id)).size
  t.ok(read >= 20 && read <= 24, `read no more than maxParked and what was running: ${read}`)
  t.equal(await scene.redis.xlen(dead), read, 'what was parked was still retried to its end')

  await scene.redis.xtrim(dead, 'MAXLEN', 0)
  await until(() => new Set(consumer.seen('start').map(({ id }) => id)).size > read, { what: 'reading goes on' })
})

t.test('at maxmemory a failure is recorded later, acks go on, and nothing is lost', async (t) => {
  const scene = await consumeScene(t)
  const consumer = await scene.spawn({ g: { backoff: { minMs: 50, factor: 1 }, maxAttempts: 2, concurrency: 8 } })
  await scene.append('slow', [{ ms: 400, does: 'throw' }, { ms: 400 }, { ms: 400 }])
  await until(() => consumer.seen('start').length === 3)
  await scene.redis.config('SET', 'maxmemory', '1')
  await until(() => consumer.seen('failed').length === 1 && consumer.seen('end').length === 2)
  await until(async () => (await scene.pendingOf('g')) === 1, { what: 'the acks arrive, the failure stays pending' })
  const live = async () => Number(await scene.redis.zscore(scene.group('g').live, consumer.consumer))
  const beat = await live()
  await until(async () => (await live()) > beat, { what: 'heartbeats arrive at maxmemory' })
  t.equal(await scene.redis.zcard(scene.group('g').delayed), 0)
  t.equal(await scene.pendingOf('g'), 1)
  await scene.redis.config('SET', 'maxmemory', '0')
  await until(async () => (await scene.deadLetters('g')).length === 1)
  t.match(await scene.deadLetters('g'), [{ attempts: 2, event: { id: 'slow-0' } }])
  t.equal(await scene.count('g', 'acked'), 2)
})

t.test('at maxmemory, when every order fails, no more are read than there are slots', async (t) => {
  const scene = await consumeScene(t)
  const consumer = await scene.spawn({ g: { backoff: { minMs: 50, factor: 1 }, maxAttempts: 2, concurrency: 4 } })
  await scene.append(
    'bad',
    Array.from({ length: 50 }, () => ({ ms: 300, does: 'throw' as const }))
  )
  await until(() => consumer.running() === 4)
  await scene.redis.config('SET', 'maxmemory', '1')
  await until(() => consumer.seen('failed').length === 4)
  const { live } = scene.group('g')
  const beat = async () => Number(await scene.redis.zscore(live, consumer.consumer))
  const since = await beat()
  await until(async () => (await beat()) > since + 900, { what: 'two more heartbeats' })
  t.equal(consumer.seen('start').length, 4)
  t.equal(await scene.pendingOf('g'), 4)
  await scene.redis.config('SET', 'maxmemory', '0')
  await until(async () => (await scene.deadLetters('g')).length === 50, { deadlineMs: 30_000 })
})
