/**
 * How an append can end. Being refused is an expected outcome, not an exception: nothing of a refused unit is stored,
 * except where the code says that this cannot be known.
 */
import type { DurabilityLevel } from '../topology-options.ts'

export type RefusalCode =
  /** The Idempotency-Key was used with another payload. */
  | 'key-reused'
  /** The stream is partitioned and the event has no key. */
  | 'missing-partition-key'
  /** More events than the stream may ever hold. */
  | 'too-many-events'
  /** The stream is at its hard limit: a group that pins it is behind. */
  | 'stream-full'
  /** Redis is at `maxmemory`. */
  | 'store-full'
  /** Redis could not be reached, and nothing was sent. */
  | 'store-down'
  /** A Cluster slot is on its way to another node. */
  | 'store-moving'
  /** It was sent and no answer came: stored or not. */
  | 'outcome-unknown'
  /** It is stored, and not as durably as the stream demands. */
  | 'durability-unknown'
  /** The gateway's own queue is full. */
  | 'overloaded'

/** Which group holds a stream's trimming back, and where. */
export interface PinnedBy {
  group: string
  /** The oldest entry that the group has not read and acknowledged. */
  entryId: string
  /** Who has it; absent when nobody has read it yet. */
  consumer?: string
  /** How long ago it was read, or written when nobody has read it, in milliseconds. */
  sinceMs: number
}

export interface Refusal {
  status: 'refused'
  code: RefusalCode
  /** For `key-reused`: the position of the event in the unit. */
  index?: number
  /** For `stream-full`. */
  pinnedBy?: PinnedBy
}

export interface StoredEntry {
  entryId: string
  /** The event was known: `entryId` is that of its first append. */
  duplicate: boolean
}

/** All of a unit's events are stored, in their order. */
export interface Appended {
  status: 'appended'
  entries: StoredEntry[]
  durability: DurabilityLevel
}

export type AppendOutcome = Appended | Refusal
