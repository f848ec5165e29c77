import t from 'tap'
import { consumeScene } from '../fixtures/consumers.ts'
import { until } from '../fixtures/until.ts'

t.test('a destroyed group starts again at the first entry, and that is counted', async (t) => {
  const scene = await consumeScene(t)
  const consumer = await scene.spawn({ g: {} })
  await scene.append('first', [{}, {}, {}])
  await until(() => consumer.seen('end').length === 3)
  await scene.append('slow', [{ ms: 1_500 }])
  await until(() => consumer.running() === 1)
  await scene.redis.xgroup('DESTROY', scene.keys.stream, 'g')
  await scene.append('second', [{}])
  await until(() => consumer.seen('end', 'second-0').length === 1)
  await until(async () => (await scene.open('g')) === 0)
  t.equal(consumer.seen('end', 'first-0').length, 2, 'what it had read is read again')
  t.equal(consumer.seen('start', 'slow-0').length, 1, 'what was running was not started again')
  t.equal(await scene.count('g', 'recreated'), 1)
})

t.test('a deleted stream is read again when it is there', async (t) => {
  const scene = await consumeScene(t)
  const consumer = await scene.spawn({ g: {} })
  await scene.append('first', [{}])
  await until(() => consumer.seen('end').length === 1)
  await scene.redis.del(scene.keys.stream)
  await scene.append('second', [{}, {}])
  await until(() => consumer.seen('end').length === 3)
  t.equal(await scene.count('g', 'recreated'), 1)
})

t.test('a deleted requeue stream is made again', async (t) => {
  const scene = await consumeScene(t)
  const consumer = await scene.spawn({ g: {} })
  await until(async () => (await scene.redis.exists(scene.group('g').requeue)) === 1)
  await scene.redis.del(scene.group('g').requeue)
  await scene.append('first', [{}])
  await until(() => consumer.seen('end').length === 1)
  t.equal(await scene.count('g', 'recreated'), 1)
})

t.test('an entry that was deleted while its process died becomes a lost dead letter', async (t) => {
  const scene = await consumeScene(t)
  const groups = { g: { staleAfterMs: 600 } }
  const victim = await scene.spawn(groups)
  const [entryId = ''] = await scene.append('order', [{ ms: 60_000 }, { ms: 60_000, does: 'throw' }])
  await until(() => victim.running() === 2)
  victim.kill('SIGKILL')
  await scene.redis.xdel(scene.keys.stream, entryId)
  const rescuer = await scene.spawn(groups)
  await until(() => rescuer.seen('start', 'order-1').length === 1)
  t.match(await scene.deadLetters('g'), [{ reason: 'lost', entryId, consumer: victim.consumer }])
  t.equal(await scene.count('g', 'lost'), 1)
})

t.test('entries claimed for a name that is no process of ours come back when they are idle, uncharged', async (t) => {
  const scene = await consumeScene(t)
  await scene.redis.xgroup('CREATE', scene.keys.stream, 'g', '0', 'MKSTREAM')
  await scene.append('order', [{}])
  await scene.redis.xreadgroup('GROUP', 'g', 'bob', 'STREAMS', scene.keys.stream, '>')
  const consumer = await scene.spawn({ g: { staleAfterMs: 400 } })
  await until(() => consumer.seen('end').length === 1)
  t.equal(await scene.count('g', 'crashes'), 0)
  await until(async () => (await scene.open('g')) === 0)
})

t.test(
  'while Redis is a replica nothing is acknowledged or read; a master again, nothing is lost or charged',
  async (t) => {
    const scene = await consumeScene(t)
    const consumer = await scene.spawn({ g: { concurrency: 4 } })
    await scene.append(
      'order',
      Array.from({ length: 8 }, (_, n) => ({ ms: 300, does: n === 0 ? ('throw' as const) : undefined }))
    )
    await until(() => consumer.running() === 4)
    await scene.redis.replicaof('127.0.0.1', 1)
    await until(() => consumer.running() === 0)
    const { length: before } = consumer.seen('start')
    await scene.redis.replicaof('NO', 'ONE')
    await until(() => consumer.seen('start').length > before, { what: 'reading goes on' })
    await until(async () => (await scene.count('g', 'acked')) === 7)
    await until(async () => (await scene.redis.zcard(scene.group('g').delayed)) === 1, { what: 'the failure is kept' })
    t.same(
      Array.from({ length: 8 }, (_, n) => consumer.seen('start', `order-${n}`).length),
      [1, 1, 1, 1, 1, 1, 1, 1]
    )
    t.equal(await scene.count('g', 'crashes'), 0)
  }
)
