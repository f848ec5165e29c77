/**
 * What a publish request is answered, given what became of its events.
 */
import type { BatchReceipt, EventReceipt } from '../schemas/event.ts'
import type { EventResult } from '../schemas/problem.ts'
import { ProblemError } from './errors.ts'
import type { Publication, PublicationResult } from './streams/publisher.ts'
import type { DurabilityLevel } from './topology-options.ts'

/** Of a request with one event. Throws ProblemError if it was refused. */
export function eventReceiptFrom(
  publications: readonly Publication[],
  results: readonly PublicationResult[]
): EventReceipt {
  const result = results[0] as PublicationResult
  if (!result.stored) throw refusal(publications, results, result)
  const { stream, entryId, duplicate, durability } = result
  return { id: (publications[0] as Publication).event.id, stream, entryId, duplicate, durability }
}

/** Of a request with any number of events, none included. Throws ProblemError if any was refused. */
export function batchReceiptFrom(
  publications: readonly Publication[],
  results: readonly PublicationResult[]
): BatchReceipt {
  let duplicates = 0
  // Without events nothing is stored, so no more than the least can be said of how safely.
  let durability: DurabilityLevel = results.length === 0 ? 'memory' : 'replicated'
  const items = results.map((result, index) => {
    if (!result.stored) throw refusal(publications, results, result)
    const { stream, entryId, duplicate } = result
    if (duplicate) duplicates += 1
    durability = weaker(durability, result.durability)
    return { id: (publications[index] as Publication).event.id, stream, entryId, duplicate }
  })
  return { accepted: items.length, duplicates, durability, results: items }
}

const strength: Record<DurabilityLevel, number> = { memory: 0, fsync: 1, replicated: 2 }

export function weaker(a: DurabilityLevel, b: DurabilityLevel): DurabilityLevel {
  return strength[a] <= strength[b] ? a : b
}

/** The first refusal decides the status. Over several streams the others may be stored: then each event is listed. */
function refusal(
  publications: readonly Publication[],
  results: readonly PublicationResult[],
  first: Extract<PublicationResult, { stored: false }>
): ProblemError {
  const isSplit = results.some(({ stream }) => stream !== first.stream)
  return new ProblemError(first.refusal.code, {
    results: isSplit ? results.map((result, index) => eventResult(publications, result, index)) : undefined
  })
}

function eventResult(publications: readonly Publication[], result: PublicationResult, index: number): EventResult {
  const { id } = (publications[index] as Publication).event
  if (!result.stored) return { id, stream: result.stream, stored: false, code: result.refusal.code }
  return { id, stream: result.stream, stored: true, entryId: result.entryId, duplicate: result.duplicate }
}
