/**
 * The topology: which streams, event types, sources and consumer groups this gateway carries.
 *
 * `defineTopology` takes the plain objects of a topology module, checks them all at once, fills in every default and
 * makes the lookup tables. The rest of Headgate reads the result and never a default.
 */
import type { Static, TSchema } from 'typebox'
import type { HandlerRedis } from './streams/connections.ts'
import type { CloudEvent, ReceivedEvent } from './streams/entry.ts'
import { physicalStreams } from './streams/partitions.ts'
import { type SourceDefinition, type SourceOptions, sourceDefinition } from './webhooks/source-definition.ts'

export type DurabilityLevel = 'memory' | 'fsync' | 'replicated'

/** The part of a pino logger that the domain uses. */
export interface Log {
  debug: (fields: object, message: string) => void
  info: (fields: object, message: string) => void
  warn: (fields: object, message: string) => void
  error: (fields: object, message: string) => void
}

export interface Backoff {
  minMs: number
  maxMs: number
  factor: number
  /** Share of the delay that is random, 0 to 1: 0.2 spreads a 10 s delay over 8 to 12 s. */
  jitter: number
}

export interface Alerts {
  maxLagSeconds: number
  maxPending: number
  maxDead: number
}

/** An event a handler publishes. `data` is any JSON value. */
export interface PublishedEvent {
  type: string
  data: unknown
  subject?: string
  /** Tells apart several events of one type from one handler call; else the call's index does. */
  key?: string
}

export interface HandlerContext {
  /** The entry id in the group's stream; a retry and a replay keep it. */
  entryId: string
  stream: string
  group: string
  /** 1 for the first try. */
  attempt: number
  /** Grows with every change of owner in an ordered group; 0 elsewhere. */
  fence: number
  /** Aborts at `handlerTimeoutMs`, at shutdown after the grace, and when the entry was taken over. */
  signal: AbortSignal
  log: Log
  redis: HandlerRedis
  /** `KEY_PREFIX` in front of a key of the handler's own. */
  key: (name: string) => string
  /** Appends a follow-up event; a redelivery's publish is recognised as a duplicate, whatever its payload. */
  publish: (event: PublishedEvent) => Promise<{ entryId: string; duplicate: boolean }>
}

export interface Handler {
  (event: ReceivedEvent, context: HandlerContext): Promise<void>
  /** What it can take: the group's `ratePerSecond` unless the group says otherwise. */
  readonly ratePerSecond?: number
}

export interface GroupOptions {
  handler?: Handler
  /** Another service reads this group with XREADGROUP; it is created and watched here. */
  external?: boolean
  /** May this group hold back trimming, and so, at the hard limit, producers? True for handlers, false for external. */
  pins?: boolean
  /** Where a group that is created late starts. */
  from?: 'beginning' | 'end'
  /** Handlers at once in one process. */
  concurrency?: number
  /** Handlers started per second, in all processes together; any number unless given. */
  ratePerSecond?: number
  maxAttempts?: number
  backoff?: Partial<Backoff>
  handlerTimeoutMs?: number
  /** A consumer whose heartbeat is older is taken over. */
  staleAfterMs?: number
  /** delayed + requeue + dead of the group at which it stops reading; the stream's hard limit unless given. */
  maxParked?: number
  /** Only these event types reach the handler; others are acknowledged unread. */
  types?: string[]
  /** Handles the events of one key in the order they were appended, one at a time. For partitioned streams. */
  ordered?: boolean
  /** Entries an ordered group reads ahead in one partition. */
  maxHeld?: number
  /** Makes what the handler keeps anew, out of the whole stream. For ordered groups. */
  rebuild?: Rebuild
  alerts?: Partial<Alerts>
  start?: (context: { redis: HandlerRedis; log: Log }) => Promise<void>
  stop?: () => Promise<void>
}

/** What a rebuild works with. Its signal aborts when the partition is not this process's any more. */
export interface RebuildContext {
  stream: string
  group: string
  partition: number
  /** As in HandlerContext. */
  fence: number
  signal: AbortSignal
  log: Log
  redis: HandlerRedis
  key: (name: string) => string
}

/**
 * Folds the events of one partition into what the group's handler keeps. `events` are all that the group has handled, in
 * their order, without dead letters and what is still pending; meanwhile no handler of the partition runs. May be cut
 * off at any point, by an exception or the end of the process, and is then begun anew.
 */
export type Rebuild = (
  events: AsyncIterable<{ entryId: string; event: ReceivedEvent }>,
  context: RebuildContext
) => Promise<void>

export interface StreamOptions {
  /** Event type to the schema of its `data`. A type belongs to one stream. */
  events?: Record<string, TSchema>
  retention?: { maxLength: number; hardLimit?: number; unread?: 'keep' | 'drop' } | { keepAll: true }
  durability?: DurabilityLevel
  /**
   * How many replicas must have an event before `replicated` is answered; 1 unless given. `all`: every replica the master
   * is known to have, those that are away at the moment included, so that whichever is promoted next has it. Without one
   * of them appends are then answered 503 until it is back (see src/streams/replicas.ts).
   */
  replicas?: number | 'all'
  /** How long a client's event id or Idempotency-Key is remembered. */
  dedupeWindowMs?: number
  /** How long a handler's publish is remembered. */
  publishWindowMs?: number
  /** How many physical streams carry it; can never be changed. Limits are per partition. */
  partitions?: number
  /** What keeps its order; the event's `subject` unless given. An event without one is refused. */
  partitionKey?: (event: CloudEvent) => string | undefined
  groups?: Record<string, GroupOptions>
  /** Someone else's stream: shown, never written or trimmed. */
  observed?: boolean
}

export interface TopologyOptions {
  streams: Record<string, StreamOptions>
  /** Webhook senders, by the name in their path. */
  sources?: Record<string, SourceOptions>
  unknownTypes?: 'reject' | { stream: string }
}

export interface GroupDefinition {
  name: string
  stream: string
  handler?: Handler
  external: boolean
  pins: boolean
  from: 'beginning' | 'end'
  concurrency: number
  /** Undefined = no limit. */
  ratePerSecond?: number
  maxAttempts: number
  backoff: Backoff
  handlerTimeoutMs: number
  staleAfterMs: number
  maxParked: number
  types?: ReadonlySet<string>
  ordered: boolean
  maxHeld: number
  rebuild?: Rebuild
  alerts: Alerts
  start?: GroupOptions['start']
  stop?: GroupOptions['stop']
}

export interface StreamDefinition {
  name: string
  types: ReadonlyMap<string, TSchema>
  /** Trimming aims at this length; Infinity when everything is kept. */
  maxLength: number
  /** Appends beyond it are refused; Infinity when everything is kept. */
  hardLimit: number
  unread: 'keep' | 'drop'
  durability?: DurabilityLevel
  replicas: number | 'all'
  dedupeWindowMs: number
  publishWindowMs: number
  observed: boolean
  /** Undefined: not partitioned. */
  partitions?: number
  partitionKey: (event: CloudEvent) => string | undefined
  groups: ReadonlyMap<string, GroupDefinition>
}

export interface Topology {
  streams: ReadonlyMap<string, StreamDefinition>
  /** The streams Redis holds, by their names there: those that are not partitioned, and the partitions of the others. */
  physicalStreams: ReadonlyMap<string, StreamDefinition>
  /** Event type to the stream that carries it. */
  streamOfType: ReadonlyMap<string, StreamDefinition>
  /** Takes every event of a type the topology does not name; undefined = such events are refused. */
  catchAll?: StreamDefinition
  sources: ReadonlyMap<string, SourceDefinition>
}

/** Every fault of a topology, one line each. */
export class TopologyError extends Error {
  readonly faults: string[]
  constructor(faults: string[]) {
    super(`The topology is not valid:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`)
    this.name = 'TopologyError'
    this.faults = faults
  }
}

const defaults = {
  maxLength: 100_000,
  dedupeWindowMs: 86_400_000,
  publishWindowMs: 7 * 86_400_000,
  concurrency: 16,
  maxAttempts: 5,
  backoff: { minMs: 2_000, maxMs: 600_000, factor: 4, jitter: 0.2 },
  handlerTimeoutMs: 60_000,
  staleAfterMs: 15_000,
  // Below 10 s, so that the partitions of a process that vanished have new owners within 10 s.
  orderedStaleAfterMs: 8_000,
  maxHeld: 1_000,
  // A group that keeps everything has no hard limit to borrow, so its parked events get a bound of their own.
  maxParked: 200_000,
  alerts: { maxLagSeconds: 60, maxPending: 1_000, maxDead: 0 }
}

/** Each partition costs every process a lease to watch and a stream to trim. */
const MAX_PARTITIONS = 256

const streamName = /^[A-Za-z0-9][A-Za-z0-9._-]*(:[A-Za-z0-9._-]+)*$/
const groupName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/
const typeName = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}$/

/** Gives a handler's schema type to its event data: `const order = dataOf(OrderCreated, event)`. */
export function dataOf<T extends TSchema>(_schema: T, event: ReceivedEvent): Static<T> {
  return event.data as Static<T>
}

/**
 * Checks a topology and fills in its defaults.
 * Throws TopologyError with every fault at once, each naming the stream, group or type it is about.
 */
export function defineTopology(options: TopologyOptions): Topology {
  const faults: string[] = []
  const streams = new Map<string, StreamDefinition>()
  const streamOfType = new Map<string, StreamDefinition>()
  for (const [name, given] of Object.entries(options.streams)) {
    if (!streamName.test(name) || name.length > 200) {
      faults.push(`stream '${name}': a name is made of letters, digits, '.', '_', '-' in parts joined by ':'`)
      continue
    }
    const stream = streamDefinition(name, given, faults)
    streams.set(name, stream)
    for (const type of stream.types.keys()) {
      const other = streamOfType.get(type)
      if (other !== undefined)
        faults.push(`event type '${type}' is in '${other.name}' and in '${name}'; a type belongs to one stream`)
      else if (!typeName.test(type)) faults.push(`stream '${name}': event type '${type}' is not a valid name`)
      else streamOfType.set(type, stream)
    }
  }
  const sources = sourceDefinitions(options.sources ?? {}, streams, faults)
  const unknown = options.unknownTypes ?? 'reject'
  const catchAll = unknown === 'reject' ? undefined : streams.get(unknown.stream)
  if (unknown !== 'reject' && catchAll === undefined)
    faults.push(`unknownTypes names the stream '${unknown.stream}', which is not in streams`)
  if (streams.size === 0) faults.push('there is no stream')
  const physical = new Map<string, StreamDefinition>()
  for (const stream of Array.from(streams.values(), physicalStreams).flat()) {
    if (physical.has(stream.name)) faults.push(`'${stream.name}' is a stream and a partition of another one`)
    physical.set(stream.name, stream)
  }
  if (faults.length > 0) throw new TopologyError(faults)
  return { streams, physicalStreams: physical, streamOfType, catchAll, sources }
}

/** Adds the stream of every source that names none and has none under its own name. */
function sourceDefinitions(
  given: Record<string, SourceOptions>,
  streams: Map<string, StreamDefinition>,
  faults: string[]
): Map<string, SourceDefinition> {
  const streamNamed = (name: string, own: boolean, dedupeWindowMs: number) => {
    if (own && !streams.has(name)) streams.set(name, streamDefinition(name, { dedupeWindowMs }, faults))
    return streams.get(name)
  }
  const sources = new Map<string, SourceDefinition>()
  for (const [name, options] of Object.entries(given)) {
    const source = sourceDefinition(name, options, streamNamed, (fault) => faults.push(fault))
    if (source !== undefined) sources.set(name, source)
  }
  return sources
}

function streamDefinition(name: string, given: StreamOptions, faults: string[]): StreamDefinition {
  const fault = (text: string) => faults.push(`stream '${name}': ${text}`)
  const retention = given.retention ?? { maxLength: defaults.maxLength }
  const keepAll = 'keepAll' in retention || given.observed === true
  const maxLength = 'keepAll' in retention || given.observed ? Number.POSITIVE_INFINITY : retention.maxLength
  const hardLimit =
    'keepAll' in retention || given.observed ? Number.POSITIVE_INFINITY : (retention.hardLimit ?? 2 * maxLength)
  if (!keepAll) {
    if (!Number.isInteger(maxLength) || maxLength < 1) fault('retention.maxLength is a whole number of at least 1')
    else if (!Number.isInteger(hardLimit) || hardLimit <= maxLength)
      fault('retention.hardLimit is a whole number above maxLength')
  }
  if (given.observed && (given.events !== undefined || given.retention !== undefined))
    fault('an observed stream is never written or trimmed: it takes no events and no retention')
  const { partitions } = given
  if (partitions !== undefined && !(Number.isInteger(partitions) && partitions >= 1 && partitions <= MAX_PARTITIONS))
    fault(`partitions is a whole number from 1 to ${MAX_PARTITIONS}`)
  if (partitions === undefined && given.partitionKey !== undefined) fault('partitionKey needs partitions')
  const groups = new Map<string, GroupDefinition>()
  for (const [group, options] of Object.entries(given.groups ?? {})) {
    if (!groupName.test(group)) fault(`group '${group}': a name is made of letters, digits, '.', '_', '-', at most 100`)
    else
      groups.set(
        group,
        groupDefinition(name, group, options, { hardLimit, partitions }, (text) => fault(`group '${group}': ${text}`))
      )
  }
  const dedupeWindowMs = given.dedupeWindowMs ?? defaults.dedupeWindowMs
  if (!(dedupeWindowMs > 0)) fault('dedupeWindowMs is a number of milliseconds above 0')
  return {
    name,
    types: new Map(Object.entries(given.events ?? {})),
    maxLength,
    hardLimit,
    unread: 'unread' in retention ? (retention.unread ?? 'keep') : 'keep',
    durability: given.durability,
    replicas: given.replicas ?? 1,
    dedupeWindowMs,
    publishWindowMs: given.publishWindowMs ?? defaults.publishWindowMs,
    observed: given.observed ?? false,
    partitions,
    partitionKey: given.partitionKey ?? ((event) => event.subject),
    groups
  }
}

function groupDefinition(
  stream: string,
  name: string,
  given: GroupOptions,
  { hardLimit, partitions }: { hardLimit: number; partitions?: number },
  fault: (text: string) => void
): GroupDefinition {
  const external = given.external ?? false
  if (external === (given.handler !== undefined))
    fault(external ? 'an external group has no handler' : 'has no handler (or say external: true)')
  for (const field of [
    'concurrency',
    'maxAttempts',
    'handlerTimeoutMs',
    'staleAfterMs',
    'maxParked',
    'maxHeld'
  ] as const) {
    const value = given[field]
    if (value !== undefined && !(Number.isInteger(value) && value >= 1))
      fault(`${field} is a whole number of at least 1`)
  }
  const ratePerSecond = given.ratePerSecond ?? given.handler?.ratePerSecond
  if (ratePerSecond !== undefined && !(ratePerSecond > 0 && Number.isFinite(ratePerSecond)))
    fault('ratePerSecond is a number above 0')
  const ordered = given.ordered ?? false
  if (ordered && (external || partitions === undefined)) fault('ordered needs a handler and a stream with partitions')
  if (given.rebuild !== undefined && !ordered) fault('rebuild needs ordered')
  const backoff = { ...defaults.backoff, ...given.backoff }
  if (
    !(
      backoff.minMs >= 1 &&
      backoff.maxMs >= backoff.minMs &&
      backoff.factor >= 1 &&
      backoff.jitter >= 0 &&
      backoff.jitter <= 1
    )
  )
    fault('backoff needs 1 <= minMs <= maxMs, factor >= 1 and jitter between 0 and 1')
  return {
    name,
    stream,
    handler: given.handler,
    external,
    pins: given.pins ?? !external,
    from: given.from ?? 'beginning',
    concurrency: given.concurrency ?? defaults.concurrency,
    ratePerSecond,
    maxAttempts: given.maxAttempts ?? defaults.maxAttempts,
    backoff,
    handlerTimeoutMs: given.handlerTimeoutMs ?? defaults.handlerTimeoutMs,
    staleAfterMs: given.staleAfterMs ?? (ordered ? defaults.orderedStaleAfterMs : defaults.staleAfterMs),
    maxParked: given.maxParked ?? (Number.isFinite(hardLimit) ? hardLimit : defaults.maxParked),
    types: given.types === undefined ? undefined : new Set(given.types),
    ordered,
    maxHeld: given.maxHeld ?? defaults.maxHeld,
    rebuild: given.rebuild,
    alerts: { ...defaults.alerts, ...given.alerts },
    start: given.start,
    stop: given.stop
  }
}
