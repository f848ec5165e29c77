/**
 * What operators do to the streams of a topology, put together for the admin routes. The parts are the modules beside
 * this one; each of their functions takes the group or stream that `targets` found.
 */
import type { Log } from '../log.ts'
import type { StreamDefinition, Topology } from '../topology.ts'
import { type Audit, createAudit } from './audit.ts'
import { command } from './commands.ts'
import type { Connections } from './connections.ts'
import * as deadLetters from './dead-letters.ts'
import { listDelayed } from './delayed-pages.ts'
import { eraseEntry } from './erasing.ts'
import * as groupChanges from './group-changes.ts'
import { ensureGroup, pauseGroup, resumeGroup } from './groups.ts'
import { setHardLimit } from './hard-limits.ts'
import type { Keys } from './keys.ts'
import { countUnread } from './lag.ts'
import { type Overview, streamOverview } from './overview.ts'
import * as pending from './pending-pages.ts'
import { askEach, type Reached } from './reachable.ts'
import { createReader } from './reader.ts'
import * as replays from './replays.ts'
import type { RetentionState } from './retention.ts'
import { followStreams, type TailStep } from './tail.ts'
import { createTargets, type GroupPart, type StreamTarget, type Targets } from './targets.ts'
import { trimStream } from './trimming.ts'

export interface Operations {
  targets: Targets
  overview: (target: StreamTarget) => Promise<Overview>
  /** Of every stream of the topology. */
  overviewOfAll: () => Promise<Reached<Overview>>
  /** For every part; undefined gives it back to the topology. */
  setHardLimit: (target: StreamTarget, limit: number | undefined) => Promise<void>
  /** Trims every part; `pinnedBy` is of the first part that was held back. */
  trim: (target: StreamTarget, order: { maxLength: number; force: boolean }) => Promise<RetentionState>
  /** One entry, in the stream and in every group; false: it was nowhere. */
  erase: (part: StreamDefinition, entryId: string) => Promise<boolean>
  /** What is appended from now on, or after a position (see tail.ts). */
  follow: (target: StreamTarget, after: string | undefined, signal: AbortSignal) => AsyncGenerator<TailStep>
  /** On every part; false: it was there on all of them. */
  createGroup: (target: StreamTarget, group: string, from: 'beginning' | 'end') => Promise<boolean>
  pause: (parts: readonly GroupPart[]) => Promise<{ changed: boolean; since?: number }>
  resume: (parts: readonly GroupPart[]) => Promise<{ changed: boolean; since?: number }>
  /** All parts are asked before any is changed; each then changes in one step. */
  seek: (
    parts: readonly GroupPart[],
    lastDeliveredId: string,
    how: { dryRun: boolean; clear: boolean }
  ) => Promise<'not-paused' | 'missing' | SeekPart[]>
  listDelayed: typeof listDelayed
  removeConsumer: (
    part: GroupPart,
    consumer: string,
    how: { move: boolean; to?: string },
    staleAfterMs?: number
  ) => ReturnType<typeof groupChanges.removeConsumer>
  groups: typeof groupChanges
  pending: typeof pending
  audit: Audit
  deadLetters: typeof deadLetters
  replays: typeof replays
  replayRunner: replays.ReplayRunner
}

export interface SeekPart extends Omit<Extract<groupChanges.SeekOutcome, { status: 'done' }>, 'status'> {
  stream: string
  unread: number
  approximate: boolean
}

/** A consumer nobody of ours beats for is looked at as if it had to beat this often. */
const STALE_AFTER_MS = 15_000
/** Entries counted per step. */
const PAGE = 1_000

export function createOperations(options: {
  topology: Topology
  connections: Connections
  keys: Keys
  log: Log
}): Operations {
  const { topology, keys, log } = options
  const { admin: redisOf, homeOf, openReader } = options.connections
  const targets = createTargets({ topology, redisOf, keys })
  const reader = createReader(redisOf, keys)
  const serverOf = ({ name }: { name: string }) => redisOf(keys.of(name).stream)
  const streams = targets.streams().flatMap(({ parts }) => parts.map(({ name }) => name))
  const overview = (target: StreamTarget) => streamOverview(redisOf, keys, target)
  return {
    targets,
    overview,
    overviewOfAll: () => askEach(targets.streams(), overview),
    setHardLimit: ({ parts }, limit) => setHardLimit(redisOf, keys, parts, limit),
    async trim({ parts }, order) {
      const sum: RetentionState = { removed: 0, length: 0 }
      for (const part of parts) {
        const { removed, length, pinnedBy } = await trimStream(serverOf(part), keys, part, order)
        sum.removed += removed
        sum.length += length
        if (length > order.maxLength) sum.pinnedBy ??= pinnedBy
      }
      return sum
    },
    erase: (part, entryId) =>
      eraseEntry({ redis: serverOf(part), keys, reader }, { name: part.name, groups: part.groups.keys() }, entryId),
    follow: ({ parts }, after, signal) =>
      followStreams(
        { admin: redisOf, homeOf, openReader },
        parts.map(({ name }) => ({ name, key: keys.of(name).stream })),
        after,
        signal
      ),
    async createGroup({ parts }, group, from) {
      const outcomes = await Promise.all(
        parts.map((part) => ensureGroup({ redis: serverOf(part), keys: keys.of(part.name), group }, from))
      )
      return outcomes.some((outcome) => outcome !== 'exists')
    },
    async pause(parts) {
      const outcomes = await Promise.all(parts.map(pauseGroup))
      return {
        changed: outcomes.some(({ changed }) => changed),
        since: Math.max(...outcomes.map(({ since }) => since))
      }
    },
    async resume(parts) {
      return { changed: (await Promise.all(parts.map(resumeGroup))).includes(true) }
    },
    async seek(parts, lastDeliveredId, { dryRun, clear }) {
      const asked = await Promise.all(
        parts.map((part) => groupChanges.seekGroup(part, lastDeliveredId, { dryRun: true, clear }))
      )
      const refusal = asked.find(({ status }) => status !== 'done')
      if (refusal !== undefined && refusal.status !== 'done') return refusal.status
      const results: SeekPart[] = []
      for (const part of parts) {
        const seen = await groupChanges.seekGroup(part, lastDeliveredId, { dryRun, clear })
        if (seen.status !== 'done') return seen.status
        const { status: _, ...outcome } = seen
        const countPage = command<[number, string]>(part.redis, 'count-unread')
        const counted = await countUnread(
          (from) => countPage([part.keys.stream], [from, PAGE, '+']),
          outcome.lastDeliveredId
        )
        results.push({ stream: part.stream, ...outcome, ...counted })
      }
      return results
    },
    listDelayed,
    removeConsumer: (part, consumer, how, staleAfterMs = STALE_AFTER_MS) =>
      groupChanges.removeConsumer(part, consumer, how, staleAfterMs),
    groups: groupChanges,
    pending,
    audit: createAudit(redisOf, keys),
    deadLetters,
    replays,
    replayRunner: replays.createReplayRunner({ redisOf, keys, streams, log })
  }
}
