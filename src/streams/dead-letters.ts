/**
 * Dead letters: events a group has given up, each with why and its whole failure history. One stream per group, trimmed
 * by operators only.
 */
import { type CloudEvent, eventFromFields } from './entry.ts'

export type DeadReason = 'exhausted' | 'rejected' | 'crashed' | 'lost' | 'undecodable'

export interface DeadLetter {
  /** Id in the stream of dead letters. */
  id: string
  /** The event's entry id in its stream. */
  entryId: string
  reason: DeadReason
  /** Failures; crashes are counted apart. */
  attempts: number
  crashes: number
  /** Redis milliseconds. */
  firstFailedAt: number
  lastFailedAt: number
  /** The consumer that held it last. */
  consumer: string
  errors?: FailureHistory
  fingerprint: string
  /** Without attributes when the entry was `lost`. */
  event: CloudEvent
}

/** One failure. */
export interface FailureRecord {
  /** Redis milliseconds. */
  at: number
  name: string
  message: string
  stack?: string
}

/** The first five failures, the last five after them, and how many there were. */
export interface FailureHistory {
  total: number
  first: FailureRecord[]
  last: FailureRecord[]
}

/** A dead letter from its stream entry. */
export function deadLetterFromEntry(id: string, fields: readonly string[]): DeadLetter {
  const about: Record<string, string> = {}
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] as string
    if (name.startsWith('dead.')) about[name.slice('dead.'.length)] = fields[i + 1] as string
  }
  return {
    id,
    entryId: about.entryId ?? '',
    reason: (about.reason ?? 'exhausted') as DeadReason,
    attempts: Number(about.attempts ?? 0),
    crashes: Number(about.crashes ?? 0),
    firstFailedAt: Number(about.firstFailedAt ?? 0),
    lastFailedAt: Number(about.lastFailedAt ?? 0),
    consumer: about.consumer ?? '',
    errors: about.errors ? (JSON.parse(about.errors) as FailureHistory) : undefined,
    fingerprint: about.fingerprint ?? '',
    event: eventFromFields(fields)
  }
}
