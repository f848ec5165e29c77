/**
 * What an operator names: a stream of the topology, one partition of it (`name:3`), and a group on it. A partitioned
 * stream under its own name stands for all its partitions.
 */
import type { Redis } from 'ioredis'
import type { GroupDefinition } from '../group-definition.ts'
import type { StreamDefinition, Topology } from '../topology.ts'
import type { RedisOf } from './connections.ts'
import type { GroupAddress } from './groups.ts'
import type { Keys } from './keys.ts'
import { physicalStreams } from './partitions.ts'
import { rowFrom } from './reader.ts'

export interface StreamTarget {
  /** As it was named. */
  name: string
  /** As the topology has it. */
  definition: StreamDefinition
  /** The physical streams: one, or every partition in its order. */
  parts: StreamDefinition[]
}

export interface GroupTarget extends StreamTarget {
  group: string
  /** Undefined: Redis has the group and the topology does not name it. */
  groupDefinition?: GroupDefinition
}

/** A group on one physical stream, with that stream's name. */
export interface GroupPart extends GroupAddress {
  stream: string
}

export interface Targets {
  /** Every stream of the topology, partitioned ones under their own name. */
  streams: () => StreamTarget[]
  /** Undefined: the topology has no such stream. */
  stream: (name: string) => StreamTarget | undefined
  /** Undefined: neither the topology nor Redis has such a group on the stream. */
  group: (target: StreamTarget, group: string) => Promise<GroupTarget | undefined>
  parts: (target: GroupTarget) => GroupPart[]
}

export function createTargets(options: { topology: Topology; redisOf: RedisOf; keys: Keys }): Targets {
  const { topology, redisOf, keys } = options
  const known = new Map<string, StreamTarget>()
  for (const definition of topology.streams.values()) {
    const parts = physicalStreams(definition)
    for (const part of parts) known.set(part.name, { name: part.name, definition, parts: [part] })
    known.set(definition.name, { name: definition.name, definition, parts })
  }

  return {
    streams: () => Array.from(topology.streams.keys(), (name) => known.get(name) as StreamTarget),
    stream: (name) => known.get(name),
    async group(target, group) {
      const groupDefinition = target.definition.groups.get(group)
      if (groupDefinition !== undefined) return { ...target, group, groupDefinition }
      for (const { name } of target.parts) {
        const key = keys.of(name).stream
        if ((await groupNames(redisOf(key), key)).includes(group)) return { ...target, group }
      }
      return undefined
    },
    parts: ({ parts, group }) =>
      parts.map(({ name }) => {
        const own = keys.of(name)
        return { redis: redisOf(own.stream), keys: own, group, stream: name }
      })
  }
}

/** XINFO GROUPS key, the names alone; none where there is no stream. */
async function groupNames(redis: Redis, stream: string): Promise<string[]> {
  if ((await redis.exists(stream)) === 0) return []
  return ((await redis.xinfo('GROUPS', stream)) as unknown[][]).map((info) => String(rowFrom(info).name))
}
