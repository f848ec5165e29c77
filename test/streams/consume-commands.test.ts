import t from 'tap'
import { deadLetterFromEntry } from '../../src/streams/dead-letters.ts'
import { bury, delay, promote } from '../../src/streams/delayed.ts'
import { fieldOf, fieldsFromEvent } from '../../src/streams/entry.ts'
import { ensureGroup, type GroupAddress, heartbeat, retireConsumer, strangers } from '../../src/streams/groups.ts'
import { createKeys } from '../../src/streams/keys.ts'
import { acknowledge, idsHeldBy, isHeldBy, pools, reassign, takeOver } from '../../src/streams/pending.ts'
import { testRedis } from '../fixtures/redis.ts'

const { redis, prefix } = await testRedis(t)
let streams = 0

/** A fresh group with `n` entries, all delivered to `me`. */
async function scene(n: number): Promise<{ at: GroupAddress; ids: string[] }> {
  const at = { redis, keys: createKeys(prefix).of(`s${streams++}`), group: 'g' }
  await ensureGroup(at, 'beginning')
  const ids: string[] = []
  for (let i = 0; i < n; i++) {
    const fields = fieldsFromEvent({ id: `event-${i}`, source: '/test', type: 'a.b', data: '{}' })
    ids.push(String(await redis.xadd(at.keys.stream, '*', ...fields)))
  }
  if (n > 0) await redis.xreadgroup('GROUP', 'g', 'me', 'STREAMS', at.keys.stream, '>')
  return { at, ids }
}

const failed = (id: string, owner = 'me', attempts = 1) => ({
  side: 'stream' as const,
  id,
  owner,
  attempts,
  errors: ''
})

/** XPENDING's rows: owner and delivery count of each entry. */
async function owners(at: GroupAddress): Promise<[string, number][]> {
  const rows = (await redis.xpending(at.keys.stream, 'g', '-', '+', 100)) as [string, string, number, number][]
  return rows.map(([, owner, , deliveries]) => [owner, deliveries])
}

/** Makes a consumer's heartbeat look `agoMs` old. */
async function beatAgo(at: GroupAddress, consumer: string, agoMs: number): Promise<number> {
  const { now } = await heartbeat(at, consumer, 1_000)
  await redis.zadd(at.keys.group('g').live, now - agoMs, consumer)
  return now
}

t.test('only the owner can fail an entry, and only once', async (t) => {
  const { at, ids } = await scene(1)
  const [id = ''] = ids
  t.match(await delay(at, failed(id, 'other'), 0), { status: 'not-owner' })
  t.match(await bury(at, failed(id, 'other'), 'exhausted', ''), { status: 'not-owner' })
  t.same(await owners(at), [['me', 1]])
  t.same(await delay(at, failed(id), 0), { status: 'delayed', parked: 1 })
  t.match(await delay(at, failed(id), 0), { status: 'not-owner' })
  t.match(await bury(at, failed(id), 'exhausted', ''), { status: 'not-owner' })
})

t.test(
  'an event in requeue keeps its entry id and its counts, and leaves requeue when it is acknowledged',
  async (t) => {
    const { at, ids } = await scene(1)
    const [entryId = ''] = ids
    const { requeue, delayed } = at.keys.group('g')
    await reassign(at, { side: 'stream', from: 'me', to: pools.handedOver })
    await redis.xclaim(at.keys.stream, 'g', 'me', 0, entryId, 'RETRYCOUNT', 3, 'JUSTID')
    await delay(at, failed(entryId, 'me', 2), 0)
    t.same(await promote(at), { due: 1, newer: 0 })
    t.same(await promote(at), { due: 0, newer: 0 })
    t.equal(await redis.zcard(delayed), 0)
    await redis.xreadgroup('GROUP', 'g', 'me', 'STREAMS', requeue, '>')
    const [entry] = await reassign(at, { side: 'requeue', from: 'me', to: 'me' })
    const fields = entry?.fields ?? []
    const retry = ['retry.entryId', 'retry.attempts', 'retry.crashes'].map((name) => fieldOf(fields, name))
    t.same(retry, [entryId, '2', '2'])
    t.equal(fieldOf(fields, 'id'), 'event-0')
    t.equal(await acknowledge(at, [], [entry?.id ?? '']), 1)
    t.equal(await redis.xlen(requeue), 0)
  }
)

t.test('what a failure finds gone becomes a lost dead letter', async (t) => {
  const { at, ids } = await scene(1)
  const [id = ''] = ids
  await redis.xdel(at.keys.stream, id)
  t.same(await delay(at, failed(id), 0), { status: 'lost', parked: 1 })
  const [[letterId, fields] = ['', []]] = await redis.xrange(at.keys.group('g').dead, '-', '+')
  t.match(deadLetterFromEntry(letterId, fields), { reason: 'lost', entryId: id, consumer: 'me' })
  t.same(await owners(at), [])
})

t.test('reassigning keeps delivery counts, leaves foreign ids alone, and buries what is gone', async (t) => {
  const { at, ids } = await scene(3)
  const [first = '', second = '', third = ''] = ids
  await redis.xdel(at.keys.stream, second)
  const moved = await reassign(at, { side: 'stream', from: 'me', to: 'you', ids: [first, second] })
  t.same(
    moved.map(({ id, deliveries }) => [id, deliveries]),
    [[first, 1]]
  )
  t.same(await owners(at), [
    ['you', 1],
    ['me', 1]
  ])
  t.same(await reassign(at, { side: 'stream', from: 'me', to: 'you', ids: [first] }), [])
  t.same(await reassign(at, { side: 'stream', from: 'me', to: 'you', ids: [] }), [])
  t.equal(await redis.xlen(at.keys.group('g').dead), 1)
  t.same(await idsHeldBy(at, 'stream', 'me', 10), [third])
  t.equal(await isHeldBy(at, 'stream', third, 'me'), true)
  t.equal(await isHeldBy(at, 'stream', third, 'you'), false)
})

t.test('a takeover leaves a live consumer alone, and does nothing when it comes late', async (t) => {
  const { at } = await scene(2)
  const terms = { victim: 'me', staleAfterMs: 1_000, maxAttempts: 5 }
  const now = await beatAgo(at, 'me', 900)
  t.match(await takeOver(at, { ...terms, callerBeatMs: now }), { status: 'alive', moved: 0 })
  await beatAgo(at, 'me', 5_000)
  t.match(await takeOver(at, { ...terms, callerBeatMs: now - 500 }), { status: 'late', moved: 0 })
  t.same(await owners(at), [
    ['me', 1],
    ['me', 1]
  ])
})

t.test(
  'a takeover charges who may be to blame: ordinary entries once, a round of suspects not, the one alone',
  async (t) => {
    const { at, ids } = await scene(6)
    const [, second = '', third = '', fourth = '', fifth = '', sixth = ''] = ids
    const claim = (id: string, owner: string, count: number) =>
      redis.xclaim(at.keys.stream, 'g', owner, 0, id, 'RETRYCOUNT', count, 'JUSTID')
    await claim(second, 'me:together', 2)
    await claim(third, 'me:alone', 2)
    await claim(fourth, 'me:alone', 3)
    await claim(fifth, 'me:together-16', 2)
    await claim(sixth, 'me:together-4', 2)
    const now = await beatAgo(at, 'me', 5_000)
    const taken = await takeOver(at, { victim: 'me', callerBeatMs: now, staleAfterMs: 1_000, maxAttempts: 3 })
    t.same(taken, { status: 'stale', moved: 6, deadLetters: 1 })
    t.same(await owners(at), [
      [pools.suspects, 2],
      [pools.suspects16, 2],
      [pools.alone, 3],
      [pools.suspects4, 2],
      [pools.alone, 2]
    ])
    const [[letterId, fields] = ['', []]] = await redis.xrange(at.keys.group('g').dead, '-', '+')
    t.match(deadLetterFromEntry(letterId, fields), {
      reason: 'crashed',
      crashes: 3,
      entryId: fourth,
      event: { id: 'event-3' }
    })
    t.match(await redis.hgetall(at.keys.group('g').counts), { crashes: '3', redeliveries: '6', deadTotal: '1' })
  }
)

t.test('a consumer is removed only when it holds nothing and is silent', async (t) => {
  const { at, ids } = await scene(1)
  await heartbeat(at, 'me', 1_000)
  t.equal(await retireConsumer(at, 'me', 0), false, 'it holds an entry')
  await acknowledge(at, ids, [])
  t.equal(await retireConsumer(at, 'me', 1_000), false, 'its heartbeat is fresh')
  t.equal(await retireConsumer(at, 'me', 0), true)
  t.same(await redis.xinfo('CONSUMERS', at.keys.stream, 'g'), [])
  t.equal(await redis.zcard(at.keys.group('g').live), 0)
})

t.test('strangers are holders without a heartbeat; pools and the names of live consumers are not', async (t) => {
  const { at, ids } = await scene(3)
  const [first = '', second = '', third = ''] = ids
  await reassign(at, { side: 'stream', from: 'me', to: pools.suspects, ids: [first] })
  await reassign(at, { side: 'stream', from: 'me', to: 'me:alone', ids: [second] })
  await reassign(at, { side: 'stream', from: 'me', to: 'bob', ids: [third] })
  await heartbeat(at, 'me', 1_000)
  t.same(await strangers(at), ['bob'])
})

t.test('a group that never existed starts where it was told, one that vanished at the first entry', async (t) => {
  const { at } = await scene(0)
  const late = { ...at, group: 'late' }
  await redis.xadd(at.keys.stream, '*', 'id', 'old', 'type', 'a.b')
  t.equal(await ensureGroup(late, 'end'), 'created')
  t.equal(await ensureGroup(late, 'end'), 'exists')
  const read = () => redis.xreadgroup('GROUP', 'late', 'me', 'STREAMS', at.keys.stream, '>')
  t.equal(await read(), null)
  await redis.xgroup('DESTROY', at.keys.stream, 'late')
  t.equal(await ensureGroup(late, 'end'), 'recreated')
  t.match(await read(), [[at.keys.stream, [[String, ['id', 'old', 'type', 'a.b']]]]])
  t.equal(await redis.hget(at.keys.group('late').counts, 'recreated'), '1')
})
