/**
 * How far each group is behind, and what it holds. Reads only; one pipeline per stream.
 *
 * Redis counts a group's lag itself, and is right as long as nothing was cut or deleted ahead of the group's cursor.
 * Groups that pin a `keep` stream are never cut, so there its word is taken; elsewhere, and where Redis does not know,
 * the unread entries are counted, up to 10,000 of them.
 */
import type { ChainableCommander, Redis } from 'ioredis'
import type { Alerts, GroupDefinition, Log, StreamDefinition } from '../topology.ts'
import { command } from './commands.ts'
import type { Keys } from './keys.ts'
import { rowFrom } from './reader.ts'

export interface GroupLag {
  stream: string
  group: string
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
  /** Processes whose heartbeat is fresh. */
  consumers: number
  paused: boolean
  alerts: ('lag' | 'pending' | 'dead')[]
}

const COUNT_PAGE = 1_000
const COUNT_PAGES = 10
const countFields = ['crashes', 'lost', 'recreated', 'redeliveries']

export function createLag(options: {
  redis: Redis
  keys: Keys
  streams: readonly StreamDefinition[]
  log: Log
}): () => Promise<GroupLag[]> {
  const { redis, keys } = options
  const countPage = command<[number, string]>(redis, 'count-unread')

  async function countUnread(stream: string, cursor: string): Promise<{ unread: number; approximate: boolean }> {
    let unread = 0
    let from = cursor
    for (let page = 0; page < COUNT_PAGES; page += 1) {
      const [count, last] = await countPage([stream], [from, COUNT_PAGE])
      unread += count
      if (count < COUNT_PAGE) return { unread, approximate: false }
      from = last
    }
    return { unread, approximate: true }
  }

  async function ofStream(stream: StreamDefinition): Promise<GroupLag[]> {
    if (stream.groups.size === 0) return []
    const key = keys.of(stream.name).stream
    const exists = (await redis.exists(key)) === 1
    const infos = exists ? ((await redis.xinfo('GROUPS', key)) as unknown[][]).map(rowFrom) : []
    const nowMs = await redisNowMs(redis)
    return Promise.all(
      Array.from(stream.groups.values(), async (group) => {
        const info = infos.find((row) => row.name === group.name)
        const cursor = String(info?.['last-delivered-id'] ?? '0-0')
        const reply = await groupReply(redis, keys, stream.name, group, cursor, nowMs, info !== undefined)
        const known = info?.lag
        const trusted = typeof known === 'number' && group.pins && stream.unread === 'keep'
        const counted =
          trusted || !exists ? { unread: trusted ? known : 0, approximate: false } : await countUnread(key, cursor)
        return groupLag(stream.name, group, Number(info?.pending ?? 0), counted, reply, nowMs)
      })
    )
  }

  return async () => (await Promise.all(options.streams.map(ofStream))).flat()
}

interface GroupReply {
  oldestUnreadMs?: number
  oldestPendingMs?: number
  delayed: number
  requeue: number
  dead: number
  counts: number[]
  consumers: number
  paused: boolean
}

async function groupReply(
  redis: Redis,
  keys: Keys,
  stream: string,
  group: GroupDefinition,
  cursor: string,
  nowMs: number,
  exists: boolean
): Promise<GroupReply> {
  const streamKeys = keys.of(stream)
  const own = streamKeys.group(group.name)
  const pipeline: ChainableCommander = redis.pipeline()
  pipeline
    .zcard(own.delayed)
    .xlen(own.requeue)
    .xlen(own.dead)
    .hmget(own.counts, ...countFields)
  pipeline.zcount(own.live, nowMs - group.staleAfterMs, '+inf').exists(own.paused)
  pipeline.xrange(streamKeys.stream, `(${cursor}`, '+', 'COUNT', 1)
  if (exists) pipeline.xpending(streamKeys.stream, group.name, '-', '+', 1)
  const replies = (await pipeline.exec()) ?? []
  const values = replies.map(([err, value]) => {
    if (err) throw err
    return value
  })
  const [delayed, requeue, dead, counts, consumers, paused, unread, pending] = values as [
    number,
    number,
    number,
    (string | null)[],
    number,
    number,
    [string, string[]][],
    [string, string, number, number][] | undefined
  ]
  return {
    oldestUnreadMs: unread[0] === undefined ? undefined : Number(unread[0][0].split('-')[0]),
    oldestPendingMs: pending?.[0]?.[2],
    delayed,
    requeue,
    dead,
    counts: counts.map(Number),
    consumers,
    paused: paused === 1
  }
}

function groupLag(
  stream: string,
  group: GroupDefinition,
  pending: number,
  counted: { unread: number; approximate: boolean },
  reply: GroupReply,
  nowMs: number
): GroupLag {
  const { oldestUnreadMs, counts, ...rest } = reply
  const [crashes = 0, lost = 0, recreated = 0, redeliveries = 0] = counts
  const lagSeconds = oldestUnreadMs === undefined ? 0 : Math.max(0, (nowMs - oldestUnreadMs) / 1_000)
  const { approximate, unread } = counted
  return {
    stream,
    group: group.name,
    unread,
    ...(approximate ? { approximate } : {}),
    lagSeconds,
    pending,
    ...rest,
    crashes,
    lost,
    recreated,
    redeliveries,
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
