/**
 * How far each group is behind, and what it holds. Reads only; one script call per stream and 50 groups.
 *
 * Redis counts a group's lag itself, and is right as long as nothing was cut ahead of the group's cursor and nothing was
 * deleted from the stream. Where one of our streams has seen neither, its word is taken; elsewhere, and where Redis does
 * not know, the unread entries are counted, up to 10,000 of them.
 */
import type { Redis } from 'ioredis'
import type { Log } from '../log.ts'
import type { StreamDefinition } from '../topology.ts'
import type { Alerts } from '../topology-options.ts'
import { command } from './commands.ts'
import type { RedisOf } from './connections.ts'
import type { Keys } from './keys.ts'
import { type GroupKind, kindOf } from './overview.ts'
import { rowFrom } from './reader.ts'

export interface GroupLag {
  stream: string
  group: string
  kind: GroupKind
  /** Entries nobody of the group has read. */
  unread: number
  /** `unread` is a lower bound. */
  approximate?: boolean
  /** Age of the oldest unread entry. */
  lagSeconds: number
  pending: number
  /** How long ago the oldest pending entry was handed out. */
  oldestPendingMs?: number
  delayed: number
  requeue: number
  dead: number
  crashes: number
  lost: number
  recreated: number
  redeliveries: number
  /** Dead letters that operators deleted. */
  discarded: number
  /** Dead letters that replays gave to the group again. */
  replayed: number
  /** Events the group held that a seek dropped. */
  cleared: number
  /** Unread entries a seek went past. */
  skipped: number
  /** Entries that were acknowledged, handled or passed over. */
  acked: number
  /** Dead letters there have ever been. */
  deadTotal: number
  /** Processes whose heartbeat is fresh. */
  consumers: number
  paused: boolean
  alerts: ('lag' | 'pending' | 'dead')[]
}

const COUNT_PAGE = 1_000
const COUNT_PAGES = 10
/** Groups in one script call. */
const CHUNK = 50

/** What lag needs to know of a group; one that the topology does not name has no limits of its own. */
interface WatchedGroup {
  name: string
  kind: GroupKind
  staleAfterMs: number
  alerts: Alerts
}

const orphanLimits = {
  staleAfterMs: 15_000,
  alerts: { maxLagSeconds: Number.POSITIVE_INFINITY, maxPending: Number.POSITIVE_INFINITY, maxDead: 0 }
}

/** The groups of all `streams`, or of those of them that are named; groups the topology does not know come last. */
export function createLag(options: {
  redisOf: RedisOf
  keys: Keys
  streams: readonly StreamDefinition[]
  log: Log
}): (only?: readonly StreamDefinition[]) => Promise<GroupLag[]> {
  const { redisOf, keys } = options
  async function ofStream(stream: StreamDefinition): Promise<GroupLag[]> {
    const key = keys.of(stream.name).stream
    const redis = redisOf(key)
    const countPage = command<[number, string]>(redis, 'count-unread')
    const exists = (await redis.exists(key)) === 1
    const infos = exists ? ((await redis.xinfo('GROUPS', key)) as unknown[][]).map(rowFrom) : []
    const infoOf = new Map(infos.map((info) => [String(info.name), info]))
    const groups = watchedGroups(stream, infos)
    if (groups.length === 0) return []
    const isWhole = exists && !stream.observed && (await hasNoDeletions(redis, key))
    const rows: GroupLag[] = []
    for (let start = 0; start < groups.length; start += CHUNK) {
      const chunk = groups.slice(start, start + CHUNK)
      const cursors = chunk.map(({ name }) => infoOf.get(name)?.['last-delivered-id'] as string | undefined)
      const { nowMs, replies } = await groupReplies(stream.name, chunk, cursors)
      const counting = chunk.map(async (group, index) => {
        const info = infoOf.get(group.name)
        const reply = replies[index] as GroupReply
        const isTrusted = typeof info?.lag === 'number' && isWhole && reply.lost === 0
        const counted =
          reply.oldestUnreadMs === undefined
            ? { unread: 0, approximate: false }
            : isTrusted
              ? { unread: Number(info.lag), approximate: false }
              : await countUnread((from) => countPage([key], [from, COUNT_PAGE, '+']), cursors[index] ?? '0-0')
        return groupLag(stream.name, group, Number(info?.pending ?? 0), counted, reply, nowMs)
      })
      rows.push(...(await Promise.all(counting)))
    }
    return rows
  }

  async function groupReplies(
    stream: string,
    groups: readonly WatchedGroup[],
    cursors: readonly (string | undefined)[]
  ): Promise<{ nowMs: number; replies: GroupReply[] }> {
    const streamKeys = keys.of(stream)
    const companions = groups.flatMap(({ name }) => {
      const { delayed, requeue, dead, counts, live, paused } = streamKeys.group(name)
      return [delayed, requeue, dead, counts, live, paused]
    })
    const args = groups.flatMap(({ name, staleAfterMs }, index) => [name, cursors[index] ?? '', staleAfterMs])
    const askGroups = command<[number, ...number[][]]>(redisOf(streamKeys.stream), 'group-lag')
    const [nowMs, ...rows] = await askGroups([streamKeys.stream, ...companions], args)
    return { nowMs, replies: rows.map(replyFrom) }
  }

  return async (only = options.streams) => (await Promise.all(only.map(ofStream))).flat()
}

/** Counts in pages behind a cursor, up to 10,000. */
export async function countUnread(
  page: (from: string) => Promise<[count: number, last: string]>,
  cursor: string
): Promise<{ unread: number; approximate: boolean }> {
  let unread = 0
  let from = cursor
  for (let pages = 0; pages < COUNT_PAGES; pages += 1) {
    const [count, last] = await page(from)
    unread += count
    if (count < COUNT_PAGE) return { unread, approximate: false }
    from = last
  }
  return { unread, approximate: (await page(from))[0] > 0 }
}

function watchedGroups(stream: StreamDefinition, infos: readonly Record<string, unknown>[]): WatchedGroup[] {
  const named = Array.from(stream.groups.values(), (group) => ({ ...group, kind: kindOf(group) }))
  const orphans = infos
    .map(({ name }) => String(name))
    .filter((name) => !stream.groups.has(name))
    .map((name) => ({ name, kind: kindOf(undefined), ...orphanLimits }))
  return [...named, ...orphans]
}

/** XINFO STREAM key: was no entry ever deleted from inside it? */
async function hasNoDeletions(redis: Redis, key: string): Promise<boolean> {
  return rowFrom((await redis.xinfo('STREAM', key)) as unknown[])['max-deleted-entry-id'] === '0-0'
}

/** What the script answers for one group: the part of its lag that needs no more working out. */
type GroupReply = Omit<
  GroupLag,
  'stream' | 'group' | 'kind' | 'unread' | 'approximate' | 'lagSeconds' | 'pending' | 'alerts'
> & { oldestUnreadMs?: number }

function replyFrom(row: readonly number[]): GroupReply {
  const [delayed = 0, requeue = 0, dead = 0, crashes = 0, lost = 0, recreated = 0, redeliveries = 0, ...rest] = row
  const [discarded = 0, replayed = 0, cleared = 0, skipped = 0, acked = 0, deadTotal = 0, ...state] = rest
  const [consumers = 0, paused = 0, oldestUnread = -1, oldestPending = -1] = state
  return {
    oldestUnreadMs: oldestUnread < 0 ? undefined : oldestUnread,
    oldestPendingMs: oldestPending < 0 ? undefined : oldestPending,
    ...{ delayed, requeue, dead, crashes, lost, recreated, redeliveries, discarded, replayed, cleared, skipped },
    ...{ acked, deadTotal, consumers },
    paused: paused === 1
  }
}

function groupLag(
  stream: string,
  group: WatchedGroup,
  pending: number,
  counted: { unread: number; approximate: boolean },
  reply: GroupReply,
  nowMs: number
): GroupLag {
  const { oldestUnreadMs, ...rest } = reply
  const lagSeconds = oldestUnreadMs === undefined ? 0 : Math.max(0, (nowMs - oldestUnreadMs) / 1_000)
  const { approximate, unread } = counted
  return {
    stream,
    group: group.name,
    kind: group.kind,
    unread,
    ...(approximate ? { approximate } : {}),
    lagSeconds,
    pending,
    ...rest,
    alerts: alertsOf(group.alerts, lagSeconds, pending, reply.dead)
  }
}

function alertsOf(limits: Alerts, lagSeconds: number, pending: number, dead: number): GroupLag['alerts'] {
  const alerts: GroupLag['alerts'] = []
  if (lagSeconds > limits.maxLagSeconds) alerts.push('lag')
  if (pending > limits.maxPending) alerts.push('pending')
  if (dead > limits.maxDead) alerts.push('dead')
  return alerts
}

/** TIME, in milliseconds. Entry ids and heartbeats are in the server's time, so ages are measured with it. */
export async function redisNowMs(redis: Redis): Promise<number> {
  const [seconds, microseconds] = await redis.time()
  return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000)
}
