/**
 * Pending entries: delivered to a consumer of a group, neither acknowledged nor moved out.
 *
 * An event of a group is always in exactly one place:
 *
 *   undelivered -> pending in the stream -> acknowledged | delayed | dead
 *   delayed -> undelivered in requeue -> pending in requeue -> acknowledged | delayed | dead
 *
 * and every step between two places is one script. A pending entry's crash count is its delivery count - 1, plus
 * `retry.crashes` of a requeued one. Delivery counts stay what these scripts set: nothing here reads a consumer's history
 * with XREADGROUP, which would raise them.
 *
 * Entries no process holds belong to a pool, a consumer that is nobody:
 */
import { command } from './commands.ts'
import type { GroupAddress } from './groups.ts'

export const pools = {
  /** Given back unharmed: any process may run it at once. */
  handedOver: '~handed-over',
  /** A process died with it. It runs beside other suspects only. */
  suspects: '~suspects',
  /** A process died of a round of suspects it was in. It runs beside at most 15 others, then beside at most three. */
  suspects16: '~suspects-16',
  suspects4: '~suspects-4',
  /** A process died of a round of four it was in, or it crashed twice. It runs with no other handler beside it. */
  alone: '~alone'
} as const

/**
 * The rounds in which a process runs suspects: out of which pool, how many at once, and under which name it holds them
 * meanwhile (its own with this behind it). The Lua commands spell the same names.
 */
export const rounds = [
  { pool: pools.suspects, most: Number.POSITIVE_INFINITY, role: ':together' },
  { pool: pools.suspects16, most: 16, role: ':together-16' },
  { pool: pools.suspects4, most: 4, role: ':together-4' },
  { pool: pools.alone, most: 1, role: ':alone' }
] as const

/** The stream itself, or the group's requeue stream. */
export type Side = 'stream' | 'requeue'
export const sides: readonly Side[] = ['stream', 'requeue']

export interface PendingEntry {
  side: Side
  /** Id in that stream; in the requeue stream not the event's own entry id. */
  id: string
  /** Delivery count: 1 + the crashes charged here. */
  deliveries: number
  fields: string[]
}

/** Most ids in one call of `acknowledge`. */
export const ACK_LIMIT = 1_000

/**
 * XACK, and XDEL for those of the requeue stream, counted as `acked`. Atomic and idempotent; at most ACK_LIMIT ids.
 * Returns how many were still pending.
 */
export async function acknowledge(
  { redis, keys, group }: GroupAddress,
  streamIds: string[],
  requeueIds: string[]
): Promise<number> {
  const { requeue, counts } = keys.group(group)
  const run = command<number>(redis, 'ack')
  return run([keys.stream, requeue, counts], [group, streamIds.length, ...streamIds, ...requeueIds])
}

/**
 * Gives entries of `from` to `to`, or only reads them when both are the same; delivery counts stay. Atomic.
 * Takes the named ids, else the oldest `limit`; ids `from` does not hold are left out of the answer. An entry that was
 * trimmed or deleted becomes a `lost` dead letter. If the answer is lost, `to` holds them and does not know.
 */
export async function reassign(
  { redis, keys, group }: GroupAddress,
  move: { side: Side; from: string; to: string; limit?: number; ids?: string[] }
): Promise<PendingEntry[]> {
  const { requeue, dead, counts } = keys.group(group)
  const source = move.side === 'stream' ? keys.stream : requeue
  const run = command<[string, number, string[]][]>(redis, 'reassign')
  const ids = move.ids ?? []
  if (move.ids !== undefined && ids.length === 0) return []
  const moved = await run([source, dead, counts], [group, move.from, move.to, move.limit ?? 100, ...ids])
  return moved.map(([id, deliveries, fields]) => ({ side: move.side, id, deliveries, fields }))
}

export interface Takeover {
  /** `late`: the call was held up and did nothing. `alive`: the victim's heartbeat is fresh; nothing was done. */
  status: 'late' | 'alive' | 'stale' | 'stranger'
  moved: number
  deadLetters: number
}

/** Entries one takeover call moves at most: a few milliseconds of the server's time. */
export const TAKEOVER_LIMIT = 100

/**
 * Takes up to TAKEOVER_LIMIT entries from a consumer whose heartbeat is stale and gives them to the pools, charging a
 * crash to those that may have caused one. Atomic; `moved` below the limit means that nothing is left.
 */
export async function takeOver(
  { redis, keys, group }: GroupAddress,
  terms: { victim: string; callerBeatMs: number; staleAfterMs: number; maxAttempts: number }
): Promise<Takeover> {
  const { requeue, live, dead, counts } = keys.group(group)
  const run = command<[Takeover['status'], number, number]>(redis, 'takeover')
  const [status, moved, deadLetters] = await run(
    [keys.stream, requeue, live, dead, counts],
    [group, terms.victim, terms.callerBeatMs, terms.staleAfterMs, terms.maxAttempts, TAKEOVER_LIMIT]
  )
  return { status, moved, deadLetters }
}

/**
 * XPENDING key group - + count consumer
 * The ids a consumer holds, oldest first; empty for a consumer Redis does not know.
 */
export async function idsHeldBy(
  { redis, keys, group }: GroupAddress,
  side: Side,
  consumer: string,
  limit: number
): Promise<string[]> {
  const source = side === 'stream' ? keys.stream : keys.group(group).requeue
  const rows = (await redis.xpending(source, group, '-', '+', limit, consumer)) as [string, ...unknown[]][]
  return rows.map(([id]) => id)
}

/** Does this consumer still hold this entry? */
export async function isHeldBy(
  { redis, keys, group }: GroupAddress,
  side: Side,
  id: string,
  consumer: string
): Promise<boolean> {
  const source = side === 'stream' ? keys.stream : keys.group(group).requeue
  const rows = await redis.xpending(source, group, id, id, 1, consumer)
  return rows.length > 0
}
