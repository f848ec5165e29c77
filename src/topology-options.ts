/** What a topology module may say: streams, groups, handlers and what they are given. Unset means the default. */
import type { TSchema } from 'typebox'
import type { Log } from './log.ts'
import type { HandlerRedis } from './streams/connections.ts'
import type { CloudEvent, ReceivedEvent } from './streams/entry.ts'
import type { SourceOptions } from './webhooks/source-definition.ts'

export type DurabilityLevel = 'memory' | 'fsync' | 'replicated'

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
