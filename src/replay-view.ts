/** Replays as the requests ask for them and the answers show them. */
import type { PreviewOrder, ReplayPreview, Replay as View } from '../schemas/replay.ts'
import { causesView, filterFrom, isoTime } from './dead-letter-view.ts'
import { onlyPart } from './named-targets.ts'
import type { DeadLetterCause, DeadLetterFilter } from './streams/dead-letters.ts'
import type { Operations } from './streams/operations.ts'
import type { Replay } from './streams/replays.ts'
import type { GroupPart } from './streams/targets.ts'

interface Count {
  at: GroupPart
  causes: DeadLetterCause[]
  complete: boolean
}

/** Ids are ids of one part; a filter is counted in all of them. */
async function counted(
  { deadLetters }: Operations,
  at: readonly GroupPart[],
  filter: DeadLetterFilter,
  ids: string[] | undefined
): Promise<Count[]> {
  if (ids === undefined)
    return Promise.all(at.map(async (part) => ({ at: part, ...(await deadLetters.deadLetterCauses(part, filter)) })))
  const part = onlyPart(at)
  const causes: DeadLetterCause[] = []
  for (const id of new Set(ids)) {
    causes.push(...(await deadLetters.deadLetterCauses(part, { ...filter, from: id, to: id })).causes)
  }
  return [{ at: part, causes, complete: true }]
}

const sum = (causes: readonly { count: number }[]) => causes.reduce((total, { count }) => total + count, 0)
const isLost = ({ reason }: { reason: string }) => reason === 'lost'

export async function previewOf(
  operations: Operations,
  at: readonly GroupPart[],
  { filter = {}, ids, limit = Number.POSITIVE_INFINITY }: PreviewOrder
): Promise<ReplayPreview> {
  const counts = await counted(operations, at, filterFrom(filter), ids)
  const causes = causesView(counts.map(({ at: { stream }, ...rest }) => ({ stream, ...rest })))
  const found = sum(causes)
  return {
    matched: Math.min(limit, sum(causes.filter((cause) => !isLost(cause)))),
    lost: sum(causes.filter(isLost)),
    missing: ids === undefined ? 0 : new Set(ids).size - found,
    complete: counts.every(({ complete }) => complete),
    causes
  }
}

/** The parts a replay has something to do in, each with its share of the rate and of the limit. */
export async function replayParts(
  operations: Operations,
  at: readonly GroupPart[],
  { filter = {}, ids, limit }: PreviewOrder
): Promise<{ filter: DeadLetterFilter; parts: { at: GroupPart; share: number; limit?: number }[] }> {
  const wanted = filterFrom(filter)
  if (at.length === 1 || ids !== undefined) return { filter: wanted, parts: [{ at: onlyPart(at), share: 1, limit }] }
  const counts = await counted(operations, at, wanted, undefined)
  const parts: { at: GroupPart; share: number; limit?: number }[] = []
  let left = limit ?? Number.POSITIVE_INFINITY
  for (const { at: part, causes } of counts) {
    const own = Math.min(left, sum(causes))
    left -= own
    if (own > 0) parts.push({ at: part, share: 0, limit: limit === undefined ? undefined : own })
  }
  // Nothing to do is a job as well, and done at once.
  if (parts.length === 0) parts.push({ at: at[0] as GroupPart, share: 0, limit })
  return { filter: wanted, parts: parts.map((part) => ({ ...part, share: 1 / parts.length })) }
}

export function replayView({ createdAt, endedAt, ...replay }: Replay): View {
  return {
    ...replay,
    createdAt: isoTime(createdAt),
    endedAt: endedAt === undefined ? undefined : isoTime(endedAt)
  }
}
