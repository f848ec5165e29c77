/**
 * The streams of a topology on one Redis: everything the routes and the consumers do with them goes through here.
 */
import type { Redis } from 'ioredis'
import type { Log } from '../log.ts'
import { StartupError } from '../startup-error.ts'
import type { StreamDefinition, Topology } from '../topology.ts'
import type { DurabilityLevel } from '../topology-options.ts'
import { AppendTally } from './append-tally.ts'
import { type Appender, createAppender } from './appender.ts'
import { attempted, type Connections } from './connections.ts'
import { createDurability, createRemarks, type Durability } from './durability.ts'
import { createHardLimits } from './hard-limits.ts'
import type { Keys } from './keys.ts'
import { createLag, type GroupLag } from './lag.ts'
import { createLevels, type StreamLevel } from './levels.ts'
import { claimPartitions, physicalStreams, topologyNames } from './partitions.ts'
import { createPublisher, type Publish } from './publisher.ts'
import { createQueueBudget, type QueueBudget } from './queue-budget.ts'
import { askEach, type Reached } from './reachable.ts'
import { createReader, type Reader } from './reader.ts'
import { createRebuilds, type Rebuilds } from './rebuilds.ts'
import { createRetention, type Retention } from './retention.ts'
import { checkServerVersion } from './server-version.ts'
import { createSetUp } from './set-up.ts'

export interface Streams {
  publish: Publish
  reader: Reader
  /** Of every stream, or of some physical ones. */
  lag: (only?: readonly StreamDefinition[]) => Promise<GroupLag[]>
  lagOfAll: () => Promise<Reached<GroupLag>>
  /** How full a physical stream is. */
  level: (stream: StreamDefinition) => Promise<StreamLevel>
  /** What this process appended, by the stream's name in the topology. */
  tallies: ReadonlyMap<string, AppendTally>
  rebuilds: Rebuilds
  health: () => Health
  queue: Readonly<QueueBudget>
  /**
   * Creates missing groups and begins to trim; where Redis cannot be reached, once it can. Rejects with a StartupError
   * when it does not store as durably as a stream demands, or holds a stream with another number of partitions.
   */
  start: () => Promise<void>
  /** Waits until everything accepted is settled. */
  stop: () => Promise<void>
}

export interface Health {
  /** `ok`: the servers of all streams are connected. */
  redis: 'ok' | 'down'
  /** The streams whose server is not connected, by their names in the topology. */
  down: string[]
  queuedEvents: number
  queueLimit: number
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

/** One physical stream that this process appends to. */
interface Written {
  stream: StreamDefinition
  /** The connection its flushes travel on. */
  redis: Redis
  durability: Durability
  appender: Appender
  retention: Retention
}

/** Waiting events may take this much memory: at the default queue limit, 3 KiB each. */
const QUEUE_BYTES = 64 * 1_048_576
const TRIM_EVERY_MS = 1_000

export function createStreams(options: StreamsOptions): Streams {
  const { topology, connections, keys, log } = options
  const budget = createQueueBudget({ maxEvents: options.queueLimit, maxBytes: QUEUE_BYTES })
  const declared = options.durability ?? 'auto'
  const claimed = new Set<string>()
  const durabilities = new Map<Redis, Durability>()
  const remarkOf = createRemarks(log)
  const written = new Map<string, Written>()
  const physical = Array.from(topology.physicalStreams.values())
  const own = physical.filter(({ observed }) => !observed)
  const nameOf = topologyNames(topology.streams.values())
  const tallies = new Map(own.map(({ name }) => [nameOf.get(name) ?? name, new AppendTally()]))
  const hardLimits = createHardLimits({ redisOf: connections.admin, keys, streams: own, log })
  for (const stream of physical) {
    if (!stream.observed) written.set(stream.name, open(stream))
  }

  function durabilityOf(redis: Redis): Durability {
    let durability = durabilities.get(redis)
    if (durability === undefined) {
      durability = createDurability({ redis, isCluster: connections.isCluster, declared, remark: remarkOf(redis) })
      durabilities.set(redis, durability)
    }
    return durability
  }

  function open(stream: StreamDefinition): Written {
    const { stream: key } = keys.of(stream.name)
    const wanted = stream.durability ?? declared
    // WAIT and WAITAOF hold their connection up: who may need them has one apart.
    const isPlain = wanted === 'auto' || wanted === 'memory'
    const redis = isPlain ? connections.append(key) : connections.appendWaiting(key)
    const durability = durabilityOf(redis)
    if (wanted === 'replicated' && stream.replicas === 'all') durability.watchReplicas()
    const everyMs = options.trimEveryMs ?? TRIM_EVERY_MS
    const retention = createRetention({ redis: connections.append(key), keys, stream, everyMs, log })
    const appender = createAppender({
      redis,
      keys,
      stream,
      budget,
      retention,
      hardLimit: () => hardLimits.of(stream),
      durability: () => durability.planFor(stream),
      commandTimeoutMs: options.commandTimeoutMs,
      tally: tallies.get(nameOf.get(stream.name) ?? stream.name) as AppendTally,
      log
    })
    return { stream, redis, durability, appender, retention }
  }

  function appenderOf(stream: string): Appender {
    const found = written.get(stream)
    if (found === undefined) throw new Error(`'${stream}' is not a stream that this topology writes`)
    return found.appender
  }

  /** Everything on one server. */
  async function setUpServer(parts: readonly Written[]): Promise<void> {
    const [{ stream: first }] = parts as [Written]
    const append = connections.append(keys.of(first.name).stream)
    const needed = [append, connections.admin(keys.of(first.name).stream), ...parts.map(({ redis }) => redis)]
    const isUp = () => needed.every(({ status }) => status === 'ready')
    await Promise.all(needed.map(attempted))
    if (!isUp()) throw new Error('Redis is not connected')
    await checkServerVersion(append)
    await Promise.all(Array.from(new Set(parts.map(({ durability }) => durability)), ({ check }) => check()))
    // Then what was seen says nothing.
    if (!isUp()) throw new Error('The connection to Redis broke')
    const unmet = parts.flatMap(({ stream, durability }) => {
      const why = durability.planFor(stream).unmet
      const name = nameOf.get(stream.name)
      return why === undefined
        ? []
        : [`The stream '${name}' demands durability '${stream.durability ?? declared}': ${why}`]
    })
    if (unmet.length > 0) throw new StartupError(unmet.join('\n'))
    for (const { stream } of parts) await claim(topology.streams.get(nameOf.get(stream.name) ?? ''))
    await Promise.all(parts.map(({ retention }) => retention.trim(false)))
    await Promise.all(parts.map(({ stream }) => hardLimits.refresh(stream)))
    for (const { retention } of parts) retention.start()
  }

  /** See that the number of partitions is the one in Redis. */
  async function claim(stream: StreamDefinition | undefined): Promise<void> {
    if (stream?.partitions === undefined || claimed.has(stream.name)) return
    await claimPartitions(connections.admin, keys, { ...stream, partitions: stream.partitions })
    claimed.add(stream.name)
  }

  for (const stream of [...physical, ...topology.streams.values()]) connections.admin(keys.of(stream.name).stream)
  const servers = Map.groupBy(written.values(), ({ stream }) => connections.homeOf(keys.of(stream.name).stream))
  const setUp = createSetUp(
    Array.from(servers.values(), (parts) => () => setUpServer(parts)),
    log
  )

  const lag = createLag({ redisOf: connections.admin, keys, streams: physical, log })
  return {
    publish: createPublisher(appenderOf, (stream) => claimed.has(stream)),
    reader: createReader(connections.admin, keys),
    lag,
    async lagOfAll() {
      const { items, unreachable } = await askEach([...topology.streams.values()], (stream) =>
        lag(physicalStreams(stream))
      )
      return { items: items.flat(), unreachable }
    },
    level: createLevels({
      redisOf: connections.admin,
      keys,
      hardLimit: (stream) => hardLimits.of(stream),
      pinnedBy: ({ name }) => written.get(name)?.retention.pinnedBy()
    }),
    tallies,
    queue: budget,
    rebuilds: createRebuilds(connections.admin, keys),
    health() {
      const away = Array.from(written.values()).filter(({ redis }) => redis.status !== 'ready')
      return {
        redis: away.length === 0 ? 'ok' : 'down',
        down: Array.from(new Set(away.map(({ stream }) => nameOf.get(stream.name) ?? stream.name))),
        queuedEvents: budget.events,
        queueLimit: budget.maxEvents
      }
    },
    async start() {
      hardLimits.start()
      await setUp.start()
    },
    async stop() {
      setUp.stop()
      hardLimits.stop()
      for (const { retention } of written.values()) retention.stop()
      await Promise.all(Array.from(written.values(), ({ appender }) => appender.drain()))
      for (const durability of durabilities.values()) durability.stop()
    }
  }
}
