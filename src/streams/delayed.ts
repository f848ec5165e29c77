/**
 * Delayed entries: failed, out of the pending list, waiting until they are due. They do not hold back trimming.
 *
 * A sorted set holds the event's entry id by due time, a hash its packed fields. When due it moves to the requeue stream,
 * with what happened so far in fields of its own: `retry.entryId retry.attempts retry.crashes retry.errors
 * retry.firstFailedAt` (the last in Redis milliseconds).
 */
import { command } from './commands.ts'
import type { GroupAddress } from './groups.ts'
import type { Side } from './pending.ts'
import { ofVersion1 } from './record-version.ts'

/**
 * What an entry of the delayed hash holds, as JSON. During an upgrade two versions of Headgate share a group: `v` grows
 * when an older process could not promote the entry as it is meant, and a process leaves alone what is not of its own.
 */
export interface DelayedEntry {
  /** Absent is 1. */
  v?: 1
  fields: string[]
  attempts: string
  crashes: string
  /** JSON text of a FailureHistory. */
  errors: string
  firstFailedAt: string
}

/** A pending entry that failed, and who says so. */
export interface FailedEntry {
  side: Side
  id: string
  owner: string
  /** Failures so far, this one included if it counts. */
  attempts: number
  /** JSON text of a FailureHistory. */
  errors: string
}

/**
 * - `not-owner`: somebody else took the entry, or this call ran before; nothing was done.
 * - `lost`: the entry was not in the stream any more; a dead letter says so.
 */
export interface MoveOut {
  status: 'not-owner' | 'delayed' | 'dead' | 'lost'
  /** delayed + requeue + dead of the group afterwards. */
  parked: number
}

/** Entries one promotion looks at. */
export const PROMOTE_LIMIT = 100
/** Soon enough for a process that can read them, and rare enough for those that cannot. */
const PUT_OFF_MS = 10_000

/** Moves a failed entry to delayed, due in `delayMs`. Atomic, safe to repeat; rejects at maxmemory with nothing done. */
export function delay(at: GroupAddress, failed: FailedEntry, delayMs: number): Promise<MoveOut> {
  return moveOut(at, failed, delayMs, '', '')
}

/** Moves a failed entry to the group's dead letters. Atomic, safe to repeat; rejects at maxmemory with nothing done. */
export function bury(at: GroupAddress, failed: FailedEntry, reason: string, fingerprint: string): Promise<MoveOut> {
  return moveOut(at, failed, -1, reason, fingerprint)
}

async function moveOut(
  { redis, keys, group }: GroupAddress,
  failed: FailedEntry,
  delayMs: number,
  reason: string,
  fingerprint: string
): Promise<MoveOut> {
  const { delayed, delayedEntries, dead, counts, requeue } = keys.group(group)
  const source = failed.side === 'stream' ? keys.stream : requeue
  const [status, parked] = await command<[MoveOut['status'], number]>(redis, 'fail')(
    [source, delayed, delayedEntries, dead, counts, requeue],
    [group, failed.owner, failed.id, Math.round(delayMs), reason, failed.attempts, failed.errors, fingerprint]
  )
  return { status, parked }
}

/**
 * Moves up to PROMOTE_LIMIT due entries to the requeue stream. Any process may call it. Returns how many were due, and
 * how many of them a newer Headgate has written: those stay delayed, for a process that can read them.
 */
export async function promote({ redis, keys, group }: GroupAddress): Promise<{ due: number; newer: number }> {
  const { delayed, delayedEntries, requeue, counts } = keys.group(group)
  const run = command<[number, number]>(redis, 'promote')
  const [due, newer] = await run([delayed, delayedEntries, requeue, counts], [PROMOTE_LIMIT, PUT_OFF_MS])
  return { due, newer }
}

/** Undefined: a newer Headgate has written it. */
export function delayedEntryFrom(text: string): DelayedEntry | undefined {
  return ofVersion1<DelayedEntry>(text)
}
