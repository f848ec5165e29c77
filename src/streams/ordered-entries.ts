/**
 * The entries of one partition of an ordered group. They never leave the pending list until they are handled or dead: a
 * failed one stays there, with its state in the hash `held`, and holds its key up. All steps are refused (`undefined`)
 * once the lease is not the caller's.
 *
 * What is pending belongs to the owner of the lease, whoever read it, so it is all under one name, and a new owner has
 * nothing to claim.
 */
import { command } from './commands.ts'
import type { GroupAddress } from './groups.ts'
import type { Lease } from './leases.ts'
import type { Side } from './pending.ts'
import { ofVersion1 } from './record-version.ts'

/** What is remembered of an entry that failed, as JSON. */
export interface HeldState {
  /** Absent is 1 (see record-version.ts). */
  v?: 1
  attempts: number
  /** JSON text of a FailureHistory. */
  errors: string
  /** Redis milliseconds. */
  firstFailedAt: number
  dueAt: number
}

export interface OrderedEntry {
  side: Side
  id: string
  fields: string[]
  /** Absent: it has not failed yet. */
  held?: HeldState
  /** Processes that vanished while they ran it alone. */
  crashes: number
}

export interface OrderedRead {
  entries: OrderedEntry[]
  /** The last entry read of the stream and of the requeue stream; told when there was nothing to read. */
  cursors?: [string, string]
}

type Rows = [string, string[]][]
type ReadReply = [0] | [1, Rows, Rows, string?, string?]

/**
 * XREADGROUP GROUP group ~owner COUNT n STREAMS stream requeue > >
 * Up to `count` new entries of each. When the answer is lost they are pending, and pendingOf finds them.
 */
export async function readNew(at: GroupAddress, lease: Lease, count: number): Promise<OrderedRead | undefined> {
  const { redis, keys, group } = at
  const own = keys.group(group)
  const reply = await command<ReadReply>(redis, 'ordered-read')(
    [own.lease, keys.stream, own.requeue],
    [lease.owner, lease.generation, group, count]
  )
  if (reply[0] === 0) return undefined
  const [, stream, requeue, cursor, requeueCursor] = reply
  const entriesOf = (side: Side, rows: Rows) => rows.map(([id, fields]) => ({ side, id, fields, crashes: 0 }))
  const entries: OrderedEntry[] = [...entriesOf('stream', stream), ...entriesOf('requeue', requeue)]
  return cursor === undefined || requeueCursor === undefined
    ? { entries }
    : { entries, cursors: [cursor, requeueCursor] }
}

/** One page of what is pending, in the order of its ids. An entry that is gone from its stream becomes `lost`. */
export async function pendingPage(
  at: GroupAddress,
  lease: Lease,
  page: { side: Side; from: string; limit: number }
): Promise<{ entries: OrderedEntry[]; next?: string } | undefined> {
  const { redis, keys, group } = at
  const own = keys.group(group)
  const source = page.side === 'stream' ? keys.stream : own.requeue
  const run = command<[0] | [1, [string, string[], string, number][], string]>(redis, 'ordered-pending')
  const reply = await run(
    [own.lease, source, own.held, own.dead, own.counts],
    [lease.owner, lease.generation, group, page.side, page.from, page.limit]
  )
  if (reply[0] === 0) return undefined
  const entries = reply[1].map(([id, fields, state, crashes]): OrderedEntry => {
    return { side: page.side, id, fields, crashes, held: heldFrom(state) }
  })
  return { entries, next: reply[2] === '' ? undefined : reply[2] }
}

/** The state a newer Headgate has written keeps the key waiting for as long as this process owns the partition. */
function heldFrom(text: string): HeldState | undefined {
  if (text === '') return undefined
  return ofVersion1<HeldState>(text) ?? { attempts: 0, errors: '', firstFailedAt: 0, dueAt: Number.POSITIVE_INFINITY }
}

/** XACK of handled entries; idempotent. Returns how many were pending. */
export async function acknowledgeOwned(
  { redis, keys, group }: GroupAddress,
  lease: Lease,
  entries: readonly { side: Side; id: string }[]
): Promise<number | undefined> {
  const own = keys.group(group)
  const acked = await command<number>(redis, 'ordered-ack')(
    [own.lease, keys.stream, own.requeue, own.held, own.counts],
    [lease.owner, lease.generation, group, ...entries.flatMap(({ side, id }) => [side, id])]
  )
  return acked < 0 ? undefined : acked
}

/** - `gone`: it was not pending any more (an operator acknowledged it). - `lost`: it is gone from its stream. */
export type FailOutcome = 'gone' | 'held' | 'dead' | 'lost'

export type OrderedFailure = { attempts: number; errors: string; firstFailedAt: number } & (
  | { kind: 'held'; dueAt: number }
  | { kind: 'dead'; reason: string; fingerprint: string }
)

/** Keeps a failed entry with its state, or makes it a dead letter. Atomic; rejects at maxmemory with nothing done. */
export async function failOwned(
  { redis, keys, group }: GroupAddress,
  lease: Lease,
  { side, id, crashes }: { side: Side; id: string; crashes: number },
  failure: OrderedFailure
): Promise<FailOutcome | undefined> {
  const own = keys.group(group)
  const { attempts, errors, firstFailedAt } = failure
  const state: HeldState | undefined =
    failure.kind === 'held' ? { v: 1, attempts, errors, firstFailedAt, dueAt: failure.dueAt } : undefined
  const dead = failure.kind === 'dead' ? failure : { reason: '', fingerprint: '' }
  const outcome = await command<FailOutcome | 'refused'>(redis, 'ordered-fail')(
    [own.lease, side === 'stream' ? keys.stream : own.requeue, own.held, own.dead, own.counts],
    [
      ...[lease.owner, lease.generation, group, side, id, state === undefined ? '' : JSON.stringify(state)],
      ...[dead.reason, attempts, crashes, errors, dead.fingerprint, firstFailedAt]
    ]
  )
  return outcome === 'refused' ? undefined : outcome
}
