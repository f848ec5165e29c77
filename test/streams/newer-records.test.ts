import t from 'tap'
import { recordFailure } from '../../src/consume/failure.ts'
import { deadLetterFromEntry } from '../../src/streams/dead-letters.ts'
import { promote } from '../../src/streams/delayed.ts'
import { listDelayed } from '../../src/streams/delayed-pages.ts'
import { fieldsFromEvent } from '../../src/streams/entry.ts'
import { ensureGroup } from '../../src/streams/groups.ts'
import { createKeys } from '../../src/streams/keys.ts'
import { createReplay, findReplay, replayStep } from '../../src/streams/replays.ts'
import { orderedScene } from '../fixtures/ordered.ts'
import { testRedis } from '../fixtures/redis.ts'
import { testStreams } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

const { redis, prefix, url } = await testRedis(t)
const at = { redis, keys: createKeys(prefix).of('s'), group: 'g', stream: 's' }
const { delayed, delayedEntries, requeue, counts, dead, replay } = at.keys.group('g')
const event = { id: 'e', source: '/test', type: 'a.b', data: '{}' }
const fields = fieldsFromEvent(event)
await ensureGroup(at, 'beginning')

t.test('a retry that a newer version has written stays as it is, and does not hold up the others', async (t) => {
  const written = {
    '1-1': JSON.stringify({ v: 2, body: 'in a form of its own' }),
    '2-1': 'no JSON at all',
    '3-1': JSON.stringify({ v: 1, fields, attempts: '1', crashes: '0', errors: '', firstFailedAt: '1' }),
    '4-1': JSON.stringify({ fields, attempts: '1', crashes: '0', errors: '', firstFailedAt: '1' })
  }
  await redis.hset(delayedEntries, written)
  await redis.zadd(delayed, ...Object.keys(written).flatMap((id) => [1, id]))
  t.same(await promote(at), { due: 4, newer: 2 })
  t.same(await promote(at), { due: 0, newer: 0 }, 'it is put off: the next heartbeat does not find it again')
  const requeued = (await redis.xrange(requeue, '-', '+')).map(([, row]) => row[row.indexOf('retry.entryId') + 1])
  t.same(requeued, ['3-1', '4-1'])
  t.same(await redis.hgetall(delayedEntries), { '1-1': written['1-1'], '2-1': written['2-1'] })
  t.equal(await redis.zcard(delayed), 2)
  t.equal(await redis.hget(counts, 'lost'), null)
  t.same((await listDelayed(at, 10, undefined)).items, [], 'nobody here can show it')
})

t.test('a replay that a newer version has created is left to it', async (t) => {
  await redis.xadd(dead, '*', ...fields, 'dead.entryId', '1-1', 'dead.reason', 'exhausted')
  const job = await createReplay([{ at, share: 1 }], { filter: {}, ratePerSecond: 100, createdBy: 'me' })
  await redis.hset(replay(job), 'v', 2)
  t.equal(await replayStep(at, job, 'me'), undefined)
  t.match(await findReplay([at], job), { status: 'running', requeued: 0 })
  t.same(await redis.smembers(at.keys.replays), [`g ${job}`], 'it is carried on once a newer process looks')
  t.equal(await redis.xlen(dead), 1)
  await redis.hset(replay(job), 'v', 1)
  await replayStep(at, job, 'me')
  t.equal(await redis.xlen(dead), 0)
})

t.test('a failure history that a newer version has written is neither shown nor lost', async (t) => {
  const errors = JSON.stringify({ v: 2, failures: [] })
  t.equal(recordFailure(errors, new Error('once more'), 1), errors)
  t.equal(deadLetterFromEntry('1-1', ['dead.errors', errors]).errors, undefined)
})

t.test('fingerprints of another kind are not compared: the event is a duplicate, not a reused key', async (t) => {
  const { publish, definition, keys } = await testStreams(t, url, { 'test:one:events': {} })
  const stream = definition('test:one:events')
  const post = async (fingerprint: string) => (await publish([{ event, stream, digest: 'd', fingerprint }]))[0]
  t.match(await post('mine'), { stored: true, duplicate: false })
  t.match(await post('other'), { stored: false, refusal: { code: 'key-reused' } })
  const seen = keys.of('test:one:events').seen('d')
  const [entryId] = String(await redis.get(seen)).split('|')
  await redis.set(seen, `${entryId}|2.theirs`, 'KEEPTTL')
  t.match(await post('mine'), { stored: true, duplicate: true, entryId })
  t.match(await post('2.other'), { stored: false, refusal: { code: 'key-reused' } })
})

t.test(
  'the key of an ordered group whose head a newer version has failed waits for it, and the others go on',
  async (t) => {
    const scene = await orderedScene(t, 1)
    const [partition] = scene.keys
    if (partition === undefined) throw new Error('no partition')
    const { held } = partition.group('g')
    const first = await scene.spawn()
    const [id] = await scene.append([
      { key: 'a', n: 0, fails: 99 },
      { key: 'a', n: 1 }
    ])
    await until(() => scene.redis.hexists(held, `stream:${id}`), { what: 'the head has failed' })
    await first.stop(0)
    const newer = JSON.stringify({ v: 2, state: 'in a form of its own' })
    await scene.redis.hset(held, `stream:${id}`, newer)
    const before = (await scene.records('a')).length

    const second = await scene.spawn()
    await scene.append([{ key: 'b', n: 0 }])
    await until(async () => (await scene.records('b')).some(({ what }) => what === 'end'))
    t.equal((await scene.records('a')).length, before, 'nothing of the key ran')
    t.equal(await scene.redis.hget(held, `stream:${id}`), newer)
    await second.stop(0)
    t.equal(await scene.open(), 2, 'and both are still pending')
  }
)
