/**
 * The streams of a topology on one Redis: everything the routes and the consumers do with them goes through here.
 */
import { StartupError } from '../startup-error.ts'
import type { DurabilityLevel, Log, StreamDefinition, Topology } from '../topology.ts'
import { type Appender, createAppender } from './appender.ts'
import type { Connections } from './connections.ts'
import { createDurability } from './durability.ts'
import { createHardLimits } from './hard-limits.ts'
import type { Keys } from './keys.ts'
import { createLag, type GroupLag } from './lag.ts'
import { claimPartitions } from './partitions.ts'
import { createPublisher, type Publish } from './publisher.ts'
import { createQueueBudget } from './queue-budget.ts'
import { createReader, type Reader } from './reader.ts'
import { createRebuilds, type Rebuilds } from './rebuilds.ts'
import { createRetention, type Retention } from './retention.ts'
import { checkServerVersion } from './server-version.ts'

export interface Streams {
  publish: Publish
  reader: Reader
  /** Of every stream, or of some physical ones. */
  lag: (only?: readonly StreamDefinition[]) => Promise<GroupLag[]>
  rebuilds: Rebuilds
  health: () => { redis: 'ok' | 'down'; queuedEvents: number; queueLimit: number }
  /**
   * Creates missing groups and begins to trim. Rejects when Redis cannot be reached, and with a StartupError when it
   * does not store as durably as a stream demands, or holds a stream with another number of partitions.
   */
  start: () => Promise<void>
  /** Waits until everything accepted is settled. */
  stop: () => Promise<void>
}

export interface StreamsOptions {
  topology: Topology
  connections: Connections
  keys: Keys
  /** Events that may wait in this process. */
  queueLimit: number
  /** The operator's DURABILITY. */
  durability?: DurabilityLevel | 'auto'
  /** How long a request may wait for Redis. */
  commandTimeoutMs: number
  /** How often every stream is trimmed, besides what appends trigger. */
  trimEveryMs?: number
  log: Log
}

/** Waiting events may take this much memory: at the default queue limit, 3 KiB each. */
const QUEUE_BYTES = 64 * 1_048_576
const TRIM_EVERY_MS = 1_000

export function createStreams(options: StreamsOptions): Streams {
  const { topology, connections, keys, log } = options
  const budget = createQueueBudget({ maxEvents: options.queueLimit, maxBytes: QUEUE_BYTES })
  const declared = options.durability ?? 'auto'
  const durability = createDurability(connections.append, declared, log)
  /** The numbers of partitions are those in Redis. */
  let areClaimed = false
  const written = new Map<string, { appender: Appender; retention: Retention }>()
  const physical = Array.from(topology.physicalStreams.values())
  const own = physical.filter(({ observed }) => !observed)
  const hardLimits = createHardLimits({ redis: connections.admin, keys, streams: own, log })
  for (const stream of physical) {
    if (!stream.observed) written.set(stream.name, open(stream))
  }

  function open(stream: StreamDefinition) {
    const everyMs = options.trimEveryMs ?? TRIM_EVERY_MS
    const wanted = stream.durability ?? declared
    // WAIT and WAITAOF hold their connection up: who may need them has one apart.
    const isPlain = wanted === 'auto' || wanted === 'memory'
    const retention = createRetention({ redis: connections.append, keys, stream, everyMs, log })
    const appender = createAppender({
      redis: isPlain ? connections.append : connections.appendWaiting,
      keys,
      stream,
      budget,
      retention,
      hardLimit: () => hardLimits.of(stream),
      durability: () => durability.planFor(stream),
      commandTimeoutMs: options.commandTimeoutMs,
      log
    })
    return { appender, retention }
  }

  function appenderOf(stream: string): Appender {
    const found = written.get(stream)
    if (found === undefined) throw new Error(`'${stream}' is not a stream that this topology writes`)
    return found.appender
  }

  return {
    publish: createPublisher(appenderOf, () => areClaimed),
    reader: createReader(connections.admin, keys),
    lag: createLag({ redis: connections.admin, keys, streams: physical, log }),
    rebuilds: createRebuilds(connections.admin, keys),
    health: () => ({
      redis: connections.append.status === 'ready' ? 'ok' : 'down',
      queuedEvents: budget.events,
      queueLimit: budget.maxEvents
    }),
    async start() {
      await checkServerVersion(connections.append)
      await durability.check()
      const unmet = Array.from(topology.streams.values()).flatMap((stream) => {
        const why = stream.observed ? undefined : durability.planFor(stream).unmet
        return why === undefined
          ? []
          : [`The stream '${stream.name}' demands durability '${stream.durability ?? declared}': ${why}`]
      })
      if (unmet.length > 0) throw new StartupError(unmet.join('\n'))
      await claimPartitions(connections.admin, keys, topology.streams.values())
      areClaimed = true
      await Promise.all(Array.from(written.values(), ({ retention }) => retention.trim(false)))
      await hardLimits.refresh()
      hardLimits.start()
      for (const { retention } of written.values()) retention.start()
    },
    async stop() {
      hardLimits.stop()
      for (const { retention } of written.values()) retention.stop()
      await Promise.all(Array.from(written.values(), ({ appender }) => appender.drain()))
    }
  }
}
