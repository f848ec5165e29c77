import t from 'tap'
import { operatorScene, scriptedHandler } from '../fixtures/operators.ts'
import { until } from '../fixtures/until.ts'

t.test('erasing an entry takes it out of the stream and out of every group, wherever it is there', async (t) => {
  const dying = scriptedHandler(() => new Error('no'))
  const waiting = scriptedHandler(() => new Error('later'))
  const { call, publish, redis, keys } = await operatorScene(t, {
    dying: { handler: dying.handler, maxAttempts: 1 },
    waiting: { handler: waiting.handler, backoff: { minMs: 60_000, maxMs: 60_000 } },
    outside: { external: true },
    requeued: { external: true }
  })
  const [erased, kept] = await publish(['secret', 'other'])
  await until(async () => (await redis.xlen(keys.group('dying').dead)) === 2)
  await until(async () => (await redis.zcard(keys.group('waiting').delayed)) === 2)
  await redis.xreadgroup('GROUP', 'outside', 'c', 'STREAMS', keys.stream, '>')
  const { requeue } = keys.group('requeued')
  await redis.xgroup('CREATE', requeue, 'requeued', '0', 'MKSTREAM')
  for (const entryId of [erased, kept] as string[])
    await redis.xadd(requeue, '*', 'retry.entryId', entryId, 'id', 'secret', 'data', '"secret"')
  await redis.xreadgroup('GROUP', 'requeued', 'c', 'COUNT', 1, 'STREAMS', requeue, '>')

  t.equal((await call('DELETE', `entries/${erased}`, undefined, 'observer')).http, 403)
  t.equal((await call('DELETE', `entries/${erased}`)).http, 204)
  t.equal((await call('DELETE', `entries/${erased}`)).code, 'entry-not-found')

  t.same(
    (await redis.xrange(keys.stream, '-', '+')).map(([id]) => id),
    [kept]
  )
  t.same(
    (await redis.xrange(keys.group('dying').dead, '-', '+')).map(([, fields]) => fields[1]),
    ['other']
  )
  t.same(await redis.zrange(keys.group('waiting').delayed, '0', '-1'), [kept])
  t.same(await redis.hkeys(keys.group('waiting').delayedEntries), [kept])
  t.equal((await redis.xpending(keys.stream, 'outside'))[0], 1)
  t.same(
    (await redis.xrange(requeue, '-', '+')).map(([, fields]) => fields[1]),
    [kept]
  )
  t.equal((await redis.xpending(requeue, 'requeued'))[0], 0)
})
