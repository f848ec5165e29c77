/**
 * Partitions: a stream with `partitions: N` is the N physical streams `name:0 … name:N-1`, each with its own appender,
 * retention and groups. An event goes to CRC-32 of its key's UTF-8 modulo N, so the events of one key share a stream,
 * and with it their order.
 *
 * N can never change: every key would go on elsewhere, and its old and new events would be handled side by side. It is
 * kept in Redis, and a process with another N refuses to start.
 */
import { crc32 } from 'node:zlib'
import { StartupError } from '../startup-error.ts'
import type { StreamDefinition } from '../topology.ts'
import type { RedisOf } from './connections.ts'
import type { CloudEvent } from './entry.ts'
import type { Keys } from './keys.ts'

/** The streams Redis holds for a stream of the topology; one that is not partitioned is its own. */
export function physicalStreams(stream: StreamDefinition): StreamDefinition[] {
  const { partitions } = stream
  if (partitions === undefined) return [stream]
  return Array.from({ length: partitions }, (_, partition) => ({
    ...stream,
    name: physicalName(stream.name, partition),
    partitions: undefined
  }))
}

/** The name in the topology of every physical stream. */
export function topologyNames(streams: Iterable<StreamDefinition>): ReadonlyMap<string, string> {
  return new Map(
    Array.from(streams, (stream) => physicalStreams(stream).map(({ name }) => [name, stream.name] as const)).flat()
  )
}

export function physicalName(stream: string, partition: number): string {
  return `${stream}:${partition}`
}

/** 0 to `partitions` - 1. */
export function partitionOf(key: string, partitions: number): number {
  return crc32(key) % partitions
}

/** The name of the physical stream an event belongs to; undefined when it has no partition key. */
export function physicalStreamOf(stream: StreamDefinition, event: CloudEvent): string | undefined {
  if (stream.partitions === undefined) return stream.name
  const key = stream.partitionKey(event)
  return key === undefined || key === ''
    ? undefined
    : physicalName(stream.name, partitionOf(String(key), stream.partitions))
}

/**
 * SET key N NX
 * Writes down how many partitions a stream has, or compares with what is written. Idempotent.
 * Throws StartupError when the number differs.
 */
export async function claimPartitions(
  redisOf: RedisOf,
  keys: Keys,
  { name, partitions }: StreamDefinition & { partitions: number }
): Promise<void> {
  const key = keys.of(name).partitions
  const redis = redisOf(key)
  const known = (await redis.get(key)) ?? (await redis.set(key, partitions, 'NX', 'GET')) ?? String(partitions)
  if (Number(known) === partitions) return
  throw new StartupError(
    `The stream '${name}' has ${known} partitions in Redis and ${partitions} in the topology. The number cannot change: ` +
      `say partitions: ${known}, or begin a new stream under another name.`
  )
}
