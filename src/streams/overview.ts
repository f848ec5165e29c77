/**
 * What a stream is and what state it is in: for operators, so it works for streams of any kind. Reads only.
 */
import type { StreamDefinition } from '../topology.ts'
import { command } from './commands.ts'
import type { RedisOf } from './connections.ts'
import { givenHardLimit } from './hard-limits.ts'
import type { Keys } from './keys.ts'
import type { PinnedBy } from './outcomes.ts'
import { rowFrom } from './reader.ts'
import { type RetainReply, retentionState } from './retention.ts'
import type { StreamTarget } from './targets.ts'

export type GroupKind = 'handler' | 'external' | 'orphan'

export function kindOf(definition: { external: boolean } | undefined): GroupKind {
  if (definition === undefined) return 'orphan'
  return definition.external ? 'external' : 'handler'
}

export interface GroupOverview {
  name: string
  /** Who reads it: handlers of this topology, another service, or nobody the topology knows. */
  kind: GroupKind
  pins: boolean
  ordered: boolean
  pending: number
  consumers: number
  /** The last entry anybody of the group was given. */
  lastDeliveredId: string
}

export interface PartOverview {
  stream: string
  length: number
  /** Sampled by Redis. */
  memoryBytes: number
  firstEntryId?: string
  lastEntryId?: string
  /** As it is in force now; undefined = none. */
  hardLimit?: number
  /** An operator changed it. */
  hardLimitChanged: boolean
  pinnedBy?: PinnedBy
  groups: GroupOverview[]
}

export interface Overview {
  target: StreamTarget
  parts: PartOverview[]
}

export async function streamOverview(redisOf: RedisOf, keys: Keys, target: StreamTarget): Promise<Overview> {
  return { target, parts: await Promise.all(target.parts.map((part) => partOverview(redisOf, keys, part))) }
}

async function partOverview(redisOf: RedisOf, keys: Keys, stream: StreamDefinition): Promise<PartOverview> {
  const key = keys.of(stream.name).stream
  const redis = redisOf(key)
  const given = await givenHardLimit(redisOf, keys, stream.name)
  const hardLimit = given ?? (Number.isFinite(stream.hardLimit) ? stream.hardLimit : undefined)
  const about = { stream: stream.name, hardLimit, hardLimitChanged: given !== undefined }
  if ((await redis.exists(key)) === 0) return { ...about, length: 0, memoryBytes: 0, groups: [] }
  const [length, memoryBytes, first, last, infos] = await Promise.all([
    redis.xlen(key),
    redis.memory('USAGE', key),
    redis.xrange(key, '-', '+', 'COUNT', 1),
    redis.xrevrange(key, '+', '-', 'COUNT', 1),
    redis.xinfo('GROUPS', key) as Promise<unknown[][]>
  ])
  const groups = infos.map((info) => groupOverview(stream, rowFrom(info)))
  return {
    ...about,
    length,
    memoryBytes: memoryBytes ?? 0,
    firstEntryId: first[0]?.[0],
    lastEntryId: last[0]?.[0],
    pinnedBy: await pinnedBy(redisOf, keys, stream, groups),
    groups
  }
}

function groupOverview(stream: StreamDefinition, row: Record<string, unknown>): GroupOverview {
  const name = String(row.name)
  const definition = stream.groups.get(name)
  return {
    name,
    kind: kindOf(definition),
    pins: definition?.pins ?? false,
    ordered: definition?.ordered ?? false,
    pending: Number(row.pending),
    consumers: Number(row.consumers),
    lastDeliveredId: String(row['last-delivered-id'])
  }
}

/** retain.lua with a length nothing exceeds: it cuts nothing and creates nothing. */
async function pinnedBy(
  redisOf: RedisOf,
  keys: Keys,
  stream: StreamDefinition,
  groups: readonly GroupOverview[]
): Promise<PinnedBy | undefined> {
  const { group, stream: key } = keys.of(stream.name)
  const counts = groups.map(({ name }) => group(name).counts)
  const named = groups.flatMap(({ name, pins }) => [name, pins ? 1 : 0, ''])
  const reply = await command<RetainReply>(redisOf(key), 'retain')(
    [key, ...counts],
    [Number.MAX_SAFE_INTEGER, 0, stream.unread, ...named]
  )
  // A group that came in between: the next look sees it.
  return reply[0] === 'done' ? retentionState(reply).pinnedBy : undefined
}
