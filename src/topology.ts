/**
 * The topology: which streams, event types, sources and consumer groups this gateway carries.
 *
 * `defineTopology` takes the plain objects of a topology module, checks them all at once, fills in every default and
 * makes the lookup tables. The rest of Headgate reads the result and never a default.
 */
import type { Static, TSchema } from 'typebox'
import { type GroupDefinition, groupDefinition } from './group-definition.ts'
import type { CloudEvent, ReceivedEvent } from './streams/entry.ts'
import { physicalStreams } from './streams/partitions.ts'
import type { DurabilityLevel, StreamOptions, TopologyOptions } from './topology-options.ts'
import { type SourceDefinition, type SourceOptions, sourceDefinition } from './webhooks/source-definition.ts'

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
  publishWindowMs: 7 * 86_400_000
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
