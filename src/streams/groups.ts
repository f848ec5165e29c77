/**
 * A consumer group on one physical stream: its existence, its heartbeats, its consumers.
 *
 * Every group of ours has two cursors under one name: one on the stream, which other groups read too, and one on its own
 * requeue stream, where due retries and replays arrive.
 */
import type { Redis } from 'ioredis'
import { command } from './commands.ts'
import type { StreamKeys } from './keys.ts'

/** Where a group lives; the first argument of everything that concerns one group. */
export interface GroupAddress {
  redis: Redis
  keys: StreamKeys
  group: string
}

/** What one heartbeat learns. Times are Redis milliseconds; undefined where there is none. */
export interface Pulse {
  now: number
  /** This consumer's heartbeat before this one; undefined: there was none, or somebody removed it. */
  previous?: number
  /** delayed + requeue + dead of the group. */
  parked: number
  paused: boolean
  /** Entries wait that a process handed over; anyone may take them. */
  handedOver: boolean
  /** Suspects wait, or are left under this consumer's own names. */
  suspects: boolean
  /** When the next delayed entry is due. */
  nextDue?: number
  /** When the next other consumer turns stale, unless its heartbeat arrives. */
  nextStale?: number
  /** Consumers whose heartbeat is older than staleAfterMs. */
  stale: string[]
}

type PulseReply = [number, number, number, number, number, number, number, number, string[]]

/**
 * Creates the group where it is missing, with its requeue stream. Atomic and idempotent.
 * A group that vanished comes back at the first entry the stream still has, counted as `recreated`.
 */
export async function ensureGroup(
  { redis, keys, group }: GroupAddress,
  from: 'beginning' | 'end'
): Promise<'exists' | 'created' | 'recreated'> {
  const { requeue, counts } = keys.group(group)
  const run = command<'exists' | 'created' | 'recreated'>(redis, 'ensure-group')
  return run([keys.stream, requeue, counts], [group, from === 'end' ? '$' : '0'])
}

/** Sends one heartbeat; it arrives at maxmemory too. Rejects with NOGROUP when the group is gone. */
export async function heartbeat(
  { redis, keys, group }: GroupAddress,
  consumer: string,
  staleAfterMs: number
): Promise<Pulse> {
  const { live, requeue, delayed, dead, paused } = keys.group(group)
  const run = command<PulseReply>(redis, 'heartbeat')
  const reply = await run([live, keys.stream, requeue, delayed, dead, paused], [group, consumer, staleAfterMs])
  const time = (at: number) => (at < 0 ? undefined : at)
  return {
    now: reply[0],
    previous: time(reply[1]),
    parked: reply[2],
    paused: reply[3] === 1,
    handedOver: reply[4] === 1,
    suspects: reply[5] === 1,
    nextDue: time(reply[6]),
    nextStale: time(reply[7]),
    stale: reply[8].filter((name) => name !== consumer)
  }
}

/**
 * Pauses the group: every process stops starting handlers within a heartbeat, and its running ones finish. Survives
 * restarts. Atomic and idempotent; works at maxmemory. Returns since when it is paused, in Redis milliseconds.
 */
export async function pauseGroup({ redis, keys, group }: GroupAddress): Promise<{ changed: boolean; since: number }> {
  const [changed, since] = await command<[number, number]>(redis, 'pause')([keys.group(group).paused], ['pause'])
  return { changed: changed === 1, since }
}

/** Lets a paused group go on, within a heartbeat. False: it was not paused. */
export async function resumeGroup({ redis, keys, group }: GroupAddress): Promise<boolean> {
  const [changed] = await command<[number, number]>(redis, 'pause')([keys.group(group).paused], ['resume'])
  return changed === 1
}

/** Takes up to `wanted` tokens of the group's rate limit, or gives some back (negative). Atomic. */
export async function takeTokens(
  { redis, keys, group }: GroupAddress,
  ratePerSecond: number,
  wanted: number
): Promise<{ taken: number; waitMs: number }> {
  const run = command<[number, number]>(redis, 'take-tokens')
  const [taken, waitMs] = await run([keys.group(group).rate], [ratePerSecond, wanted])
  return { taken, waitMs }
}

/**
 * Removes a consumer that holds nothing, with its heartbeat, unless that is younger than `idleMs`. Atomic.
 * False: it still holds entries or lives, and nothing was removed.
 */
export async function retireConsumer(
  { redis, keys, group }: GroupAddress,
  consumer: string,
  idleMs: number
): Promise<boolean> {
  const { requeue, live } = keys.group(group)
  return (await command<number>(redis, 'retire')([keys.stream, requeue, live], [group, consumer, idleMs])) === 1
}

/**
 * Consumers that hold pending entries without ever having sent a heartbeat: not processes of ours. The names the pools
 * use (`~…`) are left out. Not atomic: whoever acts on it checks again.
 */
export async function strangers({ redis, keys, group }: GroupAddress): Promise<string[]> {
  const { requeue, live } = keys.group(group)
  const [living, ...summaries] = await Promise.all([
    redis.zrange(live, '0', '-1'),
    redis.xpending(keys.stream, group) as Promise<PendingSummary>,
    redis.xpending(requeue, group) as Promise<PendingSummary>
  ])
  const ours = new Set(living)
  const holders = new Set(summaries.flatMap((summary) => (summary[3] ?? []).map(([name]) => name)))
  return [...holders].filter(
    (name) => !name.startsWith('~') && !ours.has(name.replace(/:(alone|together(-\d+)?)$/, ''))
  )
}

/** XPENDING key group: how many, smallest id, greatest id, `[consumer, how many]` each. */
type PendingSummary = [number, string | null, string | null, [string, string][] | null]
