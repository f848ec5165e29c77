import type { Redis } from 'ioredis'
import t from 'tap'
import { discardDeadLetters } from '../../src/streams/dead-letters.ts'
import { bury, delay } from '../../src/streams/delayed.ts'
import { eraseEntry } from '../../src/streams/erasing.ts'
import { moveEntries, removeConsumer, seekGroup } from '../../src/streams/group-changes.ts'
import { ensureGroup, pauseGroup } from '../../src/streams/groups.ts'
import { createKeys, type Keys } from '../../src/streams/keys.ts'
import { ackPending, claimPending, idsToClaim } from '../../src/streams/pending-pages.ts'
import { createReader } from '../../src/streams/reader.ts'
import { createReplay, replayStep } from '../../src/streams/replays.ts'
import type { GroupPart } from '../../src/streams/targets.ts'
import { breakingAt } from '../fixtures/faults.ts'
import { testRedis } from '../fixtures/redis.ts'

const { redis: plain, server, prefix } = await testRedis(t)
const EVENTS = 12
let scenes = 0

interface Scene {
  keys: Keys
  at: (redis: Redis) => GroupPart
  ids: string[]
}

/** Twelve entries of one group: four dead, two delayed, four pending with `c`, two unread. */
async function scene(): Promise<Scene> {
  scenes += 1
  const keys = createKeys(`${prefix}${scenes}:`)
  const at = (redis: Redis) => ({ redis, keys: keys.of('s'), group: 'g', stream: 's' })
  await ensureGroup(at(plain), 'beginning')
  const { stream } = keys.of('s')
  const ids: string[] = []
  for (let n = 0; n < EVENTS; n += 1) ids.push((await plain.xadd(stream, '*', 'id', `e${n}`, 'type', 'a.b')) as string)
  await plain.xreadgroup('GROUP', 'g', 'c', 'COUNT', 10, 'STREAMS', stream, '>')
  for (const [n, id] of ids.slice(0, 6).entries()) {
    const failed = { side: 'stream', id, owner: 'c', attempts: 1, errors: '' } as const
    if (n < 4) await bury(at(plain), failed, 'exhausted', 'f')
    else await delay(at(plain), failed, 60_000)
  }
  return { keys, at, ids }
}

/** In how many places of the group each entry is. */
async function places({ keys, ids }: Scene): Promise<number[]> {
  const { stream, group } = keys.of('s')
  const { requeue, dead, delayed } = group('g')
  const field = async (key: string, name: string) =>
    (await plain.xrange(key, '-', '+')).map(([, fields]) => fields[fields.indexOf(name) + 1])
  const pending = ((await plain.xpending(stream, 'g', '-', '+', 100)) as [string][]).map(([id]) => id)
  const info = (await plain.xinfo('GROUPS', stream)) as string[][]
  const cursor = info[0]?.[(info[0]?.indexOf('last-delivered-id') ?? 0) + 1] ?? ''
  const unread = (await plain.xrange(stream, `(${cursor}`, '+')).map(([id]) => id)
  const held = [
    ...pending,
    ...unread,
    ...(await plain.zrange(delayed, '0', '-1')),
    ...(await field(requeue, 'retry.entryId')),
    ...(await field(dead, 'dead.entryId'))
  ]
  return ids.map((id) => held.filter((other) => other === id).length)
}

/**
 * Runs the operation with its connection broken at every command it sends, once before and once after Redis has run it,
 * then whole, as an operator would who got a 503. Each time the end has to be the same.
 */
async function withEveryFault(
  t: { same: (a: unknown, b: unknown, name: string) => unknown; ok: (value: unknown) => unknown },
  run: (at: GroupPart, scene: Scene, redis: Redis) => Promise<unknown>,
  outcome: (scene: Scene) => Promise<unknown>
): Promise<void> {
  const whole = await scene()
  await run(whole.at(plain), whole, plain)
  const expected = await outcome(whole)
  let faults = 0
  for (const when of ['before', 'after'] as const) {
    for (let n = 1; ; n += 1) {
      const current = await scene()
      const client = server.client()
      await client.ping()
      const { redis, broke } = breakingAt(client, n, when)
      await run(current.at(redis), current, redis).catch(() => undefined)
      client.disconnect()
      if (!broke()) break
      faults += 1
      await run(current.at(plain), current, plain)
      t.same(await outcome(current), expected, `${when} command ${n}`)
    }
  }
  t.ok(faults >= 2)
}

t.test('claim: every entry stays in one place, with its new owner', async (t) => {
  await withEveryFault(
    t,
    async (at) =>
      claimPending(at, await idsToClaim(at, { minIdleMs: 0, to: 'other' }, 100), { to: 'other', minIdleMs: 0 }),
    async (current) => [
      await places(current),
      ((await plain.xpending(current.keys.of('s').stream, 'g', '-', '+', 100)) as string[][]).map(([, owner]) => owner)
    ]
  )
})

t.test('ack: what was named is done, and nothing else', async (t) => {
  await withEveryFault(t, (at, { ids }) => ackPending(at, ids.slice(6, 9)), places)
})

t.test('consumer removal: nothing it held is lost or doubled', async (t) => {
  await withEveryFault(
    t,
    async (at) => {
      await moveEntries(at, 'c')
      await removeConsumer(at, 'c', { move: true }, 1)
    },
    places
  )
})

t.test('replay: every letter is requeued once', async (t) => {
  await withEveryFault(
    t,
    async (at) => {
      const job = await createReplay([{ at, share: 1 }], { filter: {}, ratePerSecond: 10_000, createdBy: 'me' })
      for (let step = 0; step < 200 && (await replayStep(at, job, 'me')) !== undefined; step += 1);
    },
    async (current) => [await places(current), await plain.xlen(current.keys.of('s').group('g').requeue)]
  )
})

t.test('discard: all that match are gone, and counted once', async (t) => {
  await withEveryFault(
    t,
    (at) => discardDeadLetters(at, { reason: 'exhausted' }, 100),
    async (current) => [await places(current), await plain.hget(current.keys.of('s').group('g').counts, 'discarded')]
  )
})

t.test('seek: the group reads on where it was told, and holds nothing of before', async (t) => {
  await withEveryFault(
    t,
    async (at, { ids }) => {
      await pauseGroup(at)
      await seekGroup(at, ids[1] as string, { dryRun: false, clear: true })
    },
    places
  )
})

t.test('erase: the entry is nowhere, and every other one where it was', async (t) => {
  for (const n of [0, 4, 7, 11]) {
    await withEveryFault(
      t,
      (_at, { keys, ids }, redis) =>
        eraseEntry(
          { redis, keys, reader: createReader(() => redis, keys) },
          { name: 's', groups: ['g'] },
          ids[n] as string
        ),
      places
    )
  }
})
