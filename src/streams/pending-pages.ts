/**
 * Pending entries as operators see and repair them. An id is that of the entry in its stream; one that is pending in the
 * group's requeue stream has `requeue:` in front.
 *
 * Idle times are filtered here, page by page: XPENDING with IDLE looks through the whole list in one go when nothing
 * matches, which at a million pending entries keeps Redis busy for 60 ms.
 */
import { command } from './commands.ts'
import { type CloudEvent, eventFromFields, fieldOf } from './entry.ts'
import type { GroupAddress } from './groups.ts'
import { pools, type Side, sides } from './pending.ts'

export interface PendingItem {
  id: string
  /** The event's entry id in its stream. */
  entryId: string
  consumer: string
  idleMs: number
  /** Times it was handed out; what crashes and claims add. */
  deliveries: number
  /** Undefined: the stream does not hold it any more. */
  event?: CloudEvent
}

export interface PendingFilter {
  minIdleMs: number
  consumer?: string
}

export type ClaimResult = 'claimed' | 'not-pending' | 'not-idle' | 'payload-gone'
export type AckResult = 'acked' | 'not-pending'

type Row = [id: string, consumer: string, idleMs: number, deliveries: number]

const PAGE = 1_000
/** Rows one request looks at: with a filter, a page may be empty and still have more behind it. */
const MAX_PAGES = 10
/** Ids one script call takes. */
const CHUNK = 100
const SIDE = 'requeue:'

const sideOf = (id: string): Side => (id.startsWith(SIDE) ? 'requeue' : 'stream')
const ownId = (id: string) => (id.startsWith(SIDE) ? id.slice(SIDE.length) : id)
const shownId = (side: Side, id: string) => (side === 'requeue' ? SIDE + id : id)

function keyOf({ keys, group }: GroupAddress, side: Side): string {
  return side === 'stream' ? keys.stream : keys.group(group).requeue
}

/** XPENDING key group (after + count [consumer], as far as it matches; `after` undefined: that was all. */
async function matchingRows(
  at: GroupAddress,
  side: Side,
  { minIdleMs, consumer }: PendingFilter,
  limit: number,
  after: string | undefined
): Promise<{ rows: Row[]; after?: string }> {
  const key = keyOf(at, side)
  if ((await at.redis.exists(key)) === 0) return { rows: [] }
  const rows: Row[] = []
  let from = after === undefined ? '-' : `(${after}`
  const isFiltered = minIdleMs > 0
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const count = isFiltered ? PAGE : limit - rows.length
    const who = consumer === undefined ? [] : [consumer]
    const page = (await at.redis.xpending(key, at.group, from, '+', count, ...(who as [string]))) as Row[]
    for (const row of page) {
      if (row[2] >= minIdleMs) rows.push(row)
      if (rows.length === limit) return { rows, after: row[0] }
    }
    const last = page.at(-1)
    if (page.length < count || last === undefined) return { rows }
    from = `(${last[0]}`
  }
  return { rows, after: from.slice(1) }
}

/** A page of what is pending, first in the stream, then in the requeue stream. `lastId`: there may be more after it. */
export async function listPending(
  at: GroupAddress,
  filter: PendingFilter,
  limit: number,
  after: string | undefined
): Promise<{ items: PendingItem[]; lastId?: string }> {
  const items: PendingItem[] = []
  let position = after
  for (const side of sides) {
    if (position !== undefined && sideOf(position) !== side) continue
    const from = position === undefined ? undefined : ownId(position)
    const found = await matchingRows(at, side, filter, limit - items.length, from)
    items.push(...(await withEvents(at, side, found.rows)))
    if (found.after !== undefined) return { items, lastId: shownId(side, found.after) }
    position = undefined
    if (items.length >= limit && side === 'stream') return { items, lastId: `${SIDE}0-0` }
  }
  return { items }
}

async function withEvents(at: GroupAddress, side: Side, rows: readonly Row[]): Promise<PendingItem[]> {
  const key = keyOf(at, side)
  return Promise.all(
    rows.map(async ([id, consumer, idleMs, deliveries]) => {
      const [entry] = await at.redis.xrange(key, id, id)
      const entryId = (entry === undefined ? undefined : fieldOf(entry[1], 'retry.entryId')) ?? id
      const event = entry === undefined ? undefined : eventFromFields(entry[1])
      return { id: shownId(side, id), entryId, consumer, idleMs, deliveries, event }
    })
  )
}

/** The oldest pending entries that match and are not with `to` already. */
export async function idsToClaim(
  at: GroupAddress,
  { minIdleMs, to = pools.handedOver }: { minIdleMs: number; to?: string },
  limit: number
): Promise<string[]> {
  const ids: string[] = []
  for (const side of sides) {
    let after: string | undefined
    do {
      const found = await matchingRows(at, side, { minIdleMs }, limit - ids.length, after)
      for (const [id, consumer] of found.rows) if (consumer !== to) ids.push(shownId(side, id))
      after = found.after
    } while (after !== undefined && ids.length < limit)
    if (ids.length >= limit) break
  }
  return ids
}

/**
 * Gives entries to a consumer or, without one, to whatever process runs first: they are run again now. Each chunk of ids
 * is one atomic step; safe to repeat.
 */
export async function claimPending(
  at: GroupAddress,
  ids: readonly string[],
  { to = pools.handedOver, minIdleMs }: { to?: string; minIdleMs: number }
): Promise<{ id: string; result: ClaimResult }[]> {
  const { dead, counts } = at.keys.group(at.group)
  const claim = command<ClaimResult[]>(at.redis, 'claim-pending')
  return inChunks(ids, (side, chunk) => claim([keyOf(at, side), dead, counts], [at.group, to, minIdleMs, ...chunk]))
}

/** Acknowledges entries nobody shall handle any more. Each chunk of ids is one atomic step; safe to repeat. */
export async function ackPending(
  at: GroupAddress,
  ids: readonly string[]
): Promise<{ id: string; result: AckResult }[]> {
  const { requeue, counts, held } = at.keys.group(at.group)
  const ack = command<AckResult[]>(at.redis, 'ack-pending')
  return inChunks(ids, (side, chunk) => ack([keyOf(at, side), requeue, counts, held], [at.group, ...chunk]))
}

/** Runs `step` over ids of one side at a time; the answers in the order of `ids`. */
async function inChunks<Result>(
  ids: readonly string[],
  step: (side: Side, chunk: string[]) => Promise<Result[]>
): Promise<{ id: string; result: Result }[]> {
  const results = new Map<string, Result>()
  for (const side of sides) {
    const own = ids.filter((id) => sideOf(id) === side)
    for (let start = 0; start < own.length; start += CHUNK) {
      const chunk = own.slice(start, start + CHUNK)
      const answers = await step(side, chunk.map(ownId))
      for (const [index, id] of chunk.entries()) results.set(id, answers[index] as Result)
    }
  }
  return ids.map((id) => ({ id, result: results.get(id) as Result }))
}
