/**
 * What operators do to a whole group: set where it reads on, remove it, look at and remove its consumers.
 */
import type { Redis } from 'ioredis'
import { command } from './commands.ts'
import { type GroupAddress, retireConsumer } from './groups.ts'
import { redisNowMs } from './lag.ts'
import { pools, reassign, rounds, sides } from './pending.ts'
import { rowFrom } from './reader.ts'

export type SeekOutcome =
  | { status: 'not-paused' | 'missing' }
  | {
      status: 'done'
      /** The last entry that counts as delivered. */
      lastDeliveredId: string
      /** Unread entries that it went past; counted as `skipped`. */
      skipped: number
      pending: number
      delayed: number
      requeue: number
    }

type SeekReply =
  | ['not-paused' | 'missing' | 'moved']
  | ['done', now: string, to: string, pending: number, delayed: number, requeue: number]

/**
 * Lets a paused group read on after `lastDeliveredId` ('$' = the end); `clear` drops what it has pending, delayed and
 * requeued. One script: all of it or nothing. Without `clear`, what is pending or waits for a retry is still handled.
 * What it goes past unread is counted first, in pages; if the group moves meanwhile, it is counted again.
 */
export async function seekGroup(
  { redis, keys, group }: GroupAddress,
  lastDeliveredId: string,
  { dryRun, clear }: { dryRun: boolean; clear: boolean }
): Promise<SeekOutcome> {
  const own = keys.group(group)
  const names = [keys.stream, own.requeue, own.paused, own.delayed, own.delayedEntries, own.counts, own.held]
  const run = command<SeekReply>(redis, 'seek')
  for (;;) {
    const look = await run(names, [group, lastDeliveredId, 1, clear ? 1 : 0, '', 0])
    if (look[0] !== 'done') return { status: look[0] as 'not-paused' | 'missing' }
    const [, now, to, pending, delayed, requeue] = look
    const skipped = await countBetween(redis, keys.stream, now, to)
    if (dryRun) return { status: 'done', lastDeliveredId: to, skipped, pending, delayed, requeue }
    const done = await run(names, [group, to, 0, clear ? 1 : 0, now, skipped])
    if (done[0] === 'moved') continue
    if (done[0] !== 'done') return { status: done[0] }
    const [, , , ...dropped] = done
    return {
      status: 'done',
      lastDeliveredId: to,
      skipped,
      pending: dropped[0],
      delayed: dropped[1],
      requeue: dropped[2]
    }
  }
}

const COUNT_PAGE = 1_000

/** Entries after one id and up to another; none if the second is not the greater one. */
async function countBetween(redis: Redis, stream: string, after: string, upTo: string): Promise<number> {
  const countPage = command<[number, string]>(redis, 'count-unread')
  let counted = 0
  let from = after
  for (;;) {
    const [count, last] = await countPage([stream], [from, COUNT_PAGE, upTo])
    counted += count
    if (count < COUNT_PAGE) return counted
    from = last
  }
}

/** Removes the group and all its companions. Refuses, and says how many events it holds, unless `force`. Atomic. */
export async function removeGroup(
  { redis, keys, group }: GroupAddress,
  force: boolean
): Promise<{ removed: boolean; holds: number }> {
  const own = keys.group(group)
  const others = [own.delayedEntries, own.live, own.counts, own.paused, own.lease, own.held, own.rebuild, own.rate]
  const [removed, holds] = await command<[number, number]>(redis, 'remove-group')(
    [keys.stream, own.requeue, own.delayed, own.dead, ...others],
    [group, force ? 1 : 0]
  )
  return { removed: removed === 1, holds }
}

export interface ConsumerOverview {
  name: string
  /** Entries it holds, in the stream and in the requeue stream. */
  pending: number
  /** Since it last read something. */
  idleMs: number
  /** Redis milliseconds; undefined: not a process of ours. */
  lastHeartbeat?: number
}

/** Every consumer of the group, by name; the pools of entries nobody holds (`~…`) among them. */
export async function listConsumers({ redis, keys, group }: GroupAddress): Promise<ConsumerOverview[]> {
  const { requeue, live } = keys.group(group)
  const found = new Map<string, ConsumerOverview>()
  for (const key of [keys.stream, requeue]) {
    if ((await redis.exists(key)) === 0) continue
    for (const info of (await redis.xinfo('CONSUMERS', key, group)) as unknown[][]) {
      const row = rowFrom(info)
      const name = String(row.name)
      const other = found.get(name)
      found.set(name, {
        name,
        pending: Number(row.pending) + (other?.pending ?? 0),
        idleMs: Math.min(Number(row.idle), other?.idleMs ?? Number.POSITIVE_INFINITY)
      })
    }
  }
  const beats = await redis.zrange(live, '0', '-1', 'WITHSCORES')
  for (let i = 0; i < beats.length; i += 2) {
    const name = String(beats[i])
    const known = found.get(name) ?? { name, pending: 0, idleMs: 0 }
    found.set(name, { ...known, lastHeartbeat: Number(beats[i + 1]) })
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Entries moved per call. */
const MOVE_LIMIT = 200

/**
 * Moves everything a consumer holds to another one, or to the pool any process takes from. Each call is one atomic step:
 * stopping in between leaves every entry with one of the two.
 */
export async function moveEntries(at: GroupAddress, from: string, to: string = pools.handedOver): Promise<number> {
  let entries = 0
  const moves = [{ from, to }, ...rounds.map(({ pool, role }) => ({ from: from + role, to: pool }))]
  for (const side of sides) {
    for (const move of moves) {
      let moved: number
      do {
        moved = (await reassign(at, { ...move, side, limit: MOVE_LIMIT })).length
        entries += moved
      } while (moved > 0)
    }
  }
  return entries
}

/**
 * Removes a consumer, on request after moving what it holds. `in-use`: its heartbeat is younger than `staleAfterMs`, or it
 * still holds entries; nothing was removed. What was moved stays moved.
 */
export async function removeConsumer(
  at: GroupAddress,
  consumer: string,
  { move, to }: { move: boolean; to?: string },
  staleAfterMs: number
): Promise<'removed' | 'in-use' | 'not-found'> {
  const found = (await listConsumers(at)).find(({ name }) => name === consumer)
  if (found === undefined) return 'not-found'
  const { lastHeartbeat = Number.NEGATIVE_INFINITY } = found
  // A pool holds what no process has: it comes and goes by itself.
  if (consumer.startsWith('~') || (await redisNowMs(at.redis)) - lastHeartbeat < staleAfterMs) return 'in-use'
  if (move) await moveEntries(at, consumer, to)
  return (await retireConsumer(at, consumer, staleAfterMs)) ? 'removed' : 'in-use'
}
