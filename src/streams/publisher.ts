/**
 * Publishing: events that were checked, on their way to the streams that carry them.
 *
 * One publication may touch several physical streams. It is one unit on each of them: a unit is stored whole or not at
 * all, and the units of different streams end independently.
 */
import type { StreamDefinition } from '../topology.ts'
import type { DurabilityLevel } from '../topology-options.ts'
import type { Appender } from './appender.ts'
import type { CloudEvent } from './entry.ts'
import { fieldsFromEvent } from './entry.ts'
import type { AppendEvent } from './flush.ts'
import type { Appended, Refusal, RefusalCode } from './outcomes.ts'
import { physicalStreamOf } from './partitions.ts'

/** One checked and completed event, and how to recognise it if it comes again. */
export interface Publication {
  event: CloudEvent
  stream: StreamDefinition
  /** Digest of the client's Idempotency-Key or of source and id; absent when the client sent neither. */
  digest?: string
  /** More digests of the same event; one that is known makes it a duplicate. */
  aliases?: readonly string[]
  /** How long the digests are remembered. */
  windowMs?: number
  /** What an Idempotency-Key's second use is compared with; absent = never compared. */
  fingerprint?: string
  /** Handlers may go 10 % above a hard limit, so that a group cannot deadlock on its own follow-up events. */
  fromHandler?: boolean
}

export type PublicationResult =
  | { stored: true; stream: string; entryId: string; duplicate: boolean; durability: DurabilityLevel }
  | { stored: false; stream: string; refusal: Refusal }

export type Publish = (publications: readonly Publication[]) => Promise<PublicationResult[]>

/**
 * Appends every publication and says, in the same order, what became of each. Never rejects. The events of a partitioned
 * stream go to the partition of their key; where one has none, nothing of the request is stored. Until `isClaimed` says
 * that the stream's number of partitions is right, nobody knows which partition that is: `store-down`.
 * Not atomic over several streams: where one refuses, the others' events are stored. Sending the same publications
 * again with their digests completes the rest and doubles nothing.
 */
export function createPublisher(
  appenderOf: (stream: string) => Appender,
  isClaimed: (stream: string) => boolean
): Publish {
  const one = async (publication: Publication, stream: string): Promise<PublicationResult[]> => {
    const outcome = await appenderOf(stream).append(unitOf([publication]))
    return [resultOf(stream, outcome, 0)]
  }
  return async (publications) => {
    const first = publications[0]
    if (first === undefined) return []
    const targets: string[] = []
    for (const { stream, event } of publications) {
      const target = physicalStreamOf(stream, event)
      if (target === undefined) return publications.map((publication) => refused(publication, 'missing-partition-key'))
      targets.push(target)
    }
    if (publications.some(({ stream }) => stream.partitions !== undefined && !isClaimed(stream.name)))
      return publications.map((publication) => refused(publication, 'store-down'))
    if (publications.length === 1) return one(first, targets[0] as string)
    const units = new Map<string, { publications: Publication[]; positions: number[] }>()
    publications.forEach((publication, position) => {
      const stream = targets[position] as string
      const unit = units.get(stream)
      if (unit === undefined) units.set(stream, { publications: [publication], positions: [position] })
      else {
        unit.publications.push(publication)
        unit.positions.push(position)
      }
    })
    const results = new Array<PublicationResult>(publications.length)
    await Promise.all(
      Array.from(units, async ([stream, unit]) => {
        const outcome = await appenderOf(stream).append(unitOf(unit.publications))
        unit.positions.forEach((position, index) => {
          results[position] = resultOf(stream, outcome, index)
        })
      })
    )
    return results
  }
}

function unitOf(publications: readonly Publication[]) {
  const events: AppendEvent[] = publications.map(({ event, stream, digest, aliases, windowMs, fingerprint }) => ({
    fields: fieldsFromEvent(event),
    seen:
      digest === undefined ? undefined : { digest, aliases, windowMs: windowMs ?? stream.dedupeWindowMs, fingerprint }
  }))
  return { events, fromHandler: publications[0]?.fromHandler === true }
}

function refused({ stream }: Publication, code: RefusalCode): PublicationResult {
  return { stored: false, stream: stream.name, refusal: { status: 'refused', code } }
}

function resultOf(stream: string, outcome: Appended | Refusal, index: number): PublicationResult {
  if (outcome.status === 'refused') return { stored: false, stream, refusal: outcome }
  const entry = outcome.entries[index]
  if (entry === undefined)
    throw new Error(`append to ${stream} answered ${outcome.entries.length} entries, wanted ${index + 1}`)
  return { stored: true, stream, entryId: entry.entryId, duplicate: entry.duplicate, durability: outcome.durability }
}
