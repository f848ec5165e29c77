/**
 * Rebuilds: what a group's handler keeps is made anew from the whole stream. Asked for here, done by the owner of each
 * partition's lease (src/consume/ordered-rebuild.ts); a request outlives the process that made it and the one that
 * works on it.
 */
import { randomUUID } from 'node:crypto'
import type { StreamDefinition } from '../topology.ts'
import { command } from './commands.ts'
import type { RedisOf } from './connections.ts'
import type { GroupAddress } from './groups.ts'
import type { Keys } from './keys.ts'
import type { Lease } from './leases.ts'
import { physicalStreams } from './partitions.ts'

export interface PartitionRebuild {
  /** The physical stream. */
  stream: string
  /** `none`: never asked for. */
  state: 'none' | 'wanted' | 'done' | 'failed'
  id?: string
  /** Redis milliseconds. */
  finishedAt?: number
  /** Events folded. */
  events?: number
  /** Events left out because they are dead letters, and the entry ids of the first 100 of them. */
  dead?: number
  deadEntryIds?: string[]
  error?: string
}

export type RebuildResult = { events: number; deadEntryIds: string[] } | { error: string }

export interface Rebuilds {
  /** Asks for every partition of a group to be rebuilt; returns the id of the rebuild. One that is under way begins anew. */
  request: (stream: StreamDefinition, group: string) => Promise<string>
  status: (stream: StreamDefinition, group: string) => Promise<PartitionRebuild[]>
}

const LISTED = 100

export function createRebuilds(redisOf: RedisOf, keys: Keys): Rebuilds {
  const keyOf = (stream: StreamDefinition, group: string) => keys.of(stream.name).group(group).rebuild
  return {
    async request(stream, group) {
      const id = randomUUID()
      for (const physical of physicalStreams(stream)) {
        const key = keyOf(physical, group)
        await redisOf(key).multi().del(key).hset(key, { id, state: 'wanted' }).exec()
      }
      return id
    },
    status: (stream, group) =>
      Promise.all(
        physicalStreams(stream).map(async (physical) => {
          const key = keyOf(physical, group)
          return rebuildFrom(physical.name, await redisOf(key).hgetall(key))
        })
      )
  }
}

function rebuildFrom(stream: string, row: Record<string, string>): PartitionRebuild {
  const number = (text: string | undefined) => (text === undefined ? undefined : Number(text))
  return {
    stream,
    state: (row.state ?? 'none') as PartitionRebuild['state'],
    id: row.id,
    finishedAt: number(row.finishedAt),
    events: number(row.events),
    dead: number(row.dead),
    deadEntryIds: row.deadEntryIds === undefined ? undefined : (JSON.parse(row.deadEntryIds) as string[]),
    error: row.error
  }
}

/** Records how a rebuild of one partition ended. Does nothing when the lease is lost or another rebuild was asked for. */
export async function endRebuild(
  { redis, keys, group }: GroupAddress,
  lease: Lease,
  id: string,
  result: RebuildResult
): Promise<void> {
  const own = keys.group(group)
  const row =
    'error' in result
      ? ['state', 'failed', 'error', result.error]
      : [
          ...['state', 'done', 'events', result.events, 'dead', result.deadEntryIds.length],
          ...['deadEntryIds', JSON.stringify(result.deadEntryIds.slice(0, LISTED))]
        ]
  await command<number>(redis, 'rebuild-end')([own.lease, own.rebuild], [lease.owner, lease.generation, id, ...row])
}
