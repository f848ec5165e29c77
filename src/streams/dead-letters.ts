/**
 * Dead letters: events a group has given up, each with why and its whole failure history. One stream per group, trimmed
 * by operators only.
 */
import { command } from './commands.ts'
import { type CloudEvent, eventFromFields } from './entry.ts'
import type { GroupAddress } from './groups.ts'
import { ofVersion1 } from './record-version.ts'

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
  /** Absent is 1 (see record-version.ts). */
  v?: 1
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
    errors: failureHistory(about.errors),
    fingerprint: about.fingerprint ?? '',
    event: eventFromFields(fields)
  }
}

/** Which dead letters are meant; all of what is given must be so. */
export interface DeadLetterFilter {
  reason?: string
  fingerprint?: string
  /** Of the event. */
  type?: string
  id?: string
  subject?: string
  /** First and last id of the dead letter, by which it is ordered: when it died. */
  from?: string
  to?: string
}

/** One failure that many events died of. */
export interface DeadLetterCause {
  fingerprint: string
  reason: DeadReason
  count: number
  firstId: string
  lastId: string
  /** Type of the last of the events. */
  type: string
  /** The last error of the last of them; undefined where no handler failed. */
  error?: FailureRecord
}

interface Scan<Match> {
  /** The last letter looked at; undefined: none. */
  lastId?: string
  more: boolean
  matches: Match[]
}

type Action = 'list' | 'newest' | 'summary' | 'discard'

/** Letters one script call looks at: 4 KiB of errors each, so a few milliseconds of Redis. */
const PAGE = 250
/** Pages one request looks through before it answers with what it has. */
const MAX_PAGES = 20
/** Pages of a count or a summary: beyond them it is a lower bound. */
const MAX_COUNTED_PAGES = 400

/** The fields of the dead stream a filter compares, as the scripts want them. */
export function comparedFields({ reason, fingerprint, type, id, subject }: DeadLetterFilter): string {
  return JSON.stringify({ 'dead.reason': reason, 'dead.fingerprint': fingerprint, type, id, subject })
}

async function scan<Match>(
  { redis, keys, group }: GroupAddress,
  action: Action,
  range: { from: string; to: string },
  limit: number,
  filter: DeadLetterFilter
): Promise<Scan<Match>> {
  const { dead, counts } = keys.group(group)
  const run = command<[string, number, Match[]]>(redis, 'scan-dead-letters')
  const [lastId, more, matches] = await run(
    [dead, counts],
    [action, range.from, range.to, PAGE, limit, comparedFields(filter)]
  )
  return { lastId: lastId === '' ? undefined : lastId, more: more === 1, matches }
}

/** The letters of `filter`, without the data of their events, oldest or newest first. `lastId`: where to go on `after`. */
export async function listDeadLetters(
  at: GroupAddress,
  filter: DeadLetterFilter,
  page: { order: 'asc' | 'desc'; limit: number; after?: string }
): Promise<{ letters: DeadLetter[]; lastId?: string }> {
  const newest = page.order === 'desc'
  let from = filter.from ?? '-'
  let to = filter.to ?? '+'
  let lastId = page.after
  const letters: DeadLetter[] = []
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    if (lastId !== undefined && newest) to = `(${lastId}`
    else if (lastId !== undefined) from = `(${lastId}`
    const wanted = page.limit - letters.length
    const found = await scan<[string, string[]]>(at, newest ? 'newest' : 'list', { from, to }, wanted, filter)
    letters.push(...found.matches.map(([id, fields]) => deadLetterFromEntry(id, fields)))
    lastId = found.lastId ?? lastId
    if (!found.more) return { letters }
    if (letters.length >= page.limit) break
  }
  return { letters, lastId }
}

/** Why the group's letters died, one item per fingerprint and reason. `complete` is false where there are too many to count. */
export async function deadLetterCauses(
  at: GroupAddress,
  filter: DeadLetterFilter
): Promise<{ causes: DeadLetterCause[]; complete: boolean }> {
  const causes = new Map<string, DeadLetterCause>()
  let from = filter.from ?? '-'
  for (let pages = 0; pages < MAX_COUNTED_PAGES; pages += 1) {
    const range = { from, to: filter.to ?? '+' }
    const found = await scan<[string, DeadReason, number, string, string, string, string]>(
      at,
      'summary',
      range,
      PAGE,
      filter
    )
    for (const [fingerprint, reason, count, firstId, lastId, type, errors] of found.matches) {
      const name = `${reason} ${fingerprint}`
      const before = causes.get(name)
      causes.set(name, {
        fingerprint,
        reason,
        count: count + (before?.count ?? 0),
        firstId: before?.firstId ?? firstId,
        lastId,
        type,
        error: lastFailure(errors)
      })
    }
    if (!found.more || found.lastId === undefined) return { causes: [...causes.values()], complete: true }
    from = `(${found.lastId}`
  }
  return { causes: [...causes.values()], complete: false }
}

/** Deletes the letters of `filter` that are dead now. Each page is one atomic step; stopping in between is harmless. */
export async function discardDeadLetters(at: GroupAddress, filter: DeadLetterFilter, limit: number): Promise<number> {
  const last = await at.redis.xrevrange(at.keys.group(at.group).dead, filter.to ?? '+', filter.from ?? '-', 'COUNT', 1)
  const to = last[0]?.[0]
  if (to === undefined) return 0
  let discarded = 0
  let from = filter.from ?? '-'
  while (discarded < limit) {
    const found = await scan<string>(at, 'discard', { from, to }, limit - discarded, filter)
    discarded += found.matches.length
    if (!found.more || found.lastId === undefined) break
    from = `(${found.lastId}`
  }
  return discarded
}

/** One letter, whole. */
export async function deadLetter(at: GroupAddress, id: string): Promise<DeadLetter | undefined> {
  const [row] = await at.redis.xrange(at.keys.group(at.group).dead, id, id)
  return row === undefined ? undefined : deadLetterFromEntry(row[0], row[1])
}

/** Deletes one letter; false: there is none (any more). */
export async function discardDeadLetter(at: GroupAddress, id: string): Promise<boolean> {
  const found = await scan<string>(at, 'discard', { from: id, to: id }, 1, {})
  return found.matches.length === 1
}

/** A history in JSON text; undefined when there is none, or a newer Headgate has written it. */
export function failureHistory(errors: string | undefined): FailureHistory | undefined {
  return errors ? ofVersion1<FailureHistory>(errors) : undefined
}

/** The last failure of a history in JSON text. */
export function lastFailure(errors: string): FailureRecord | undefined {
  const { first, last } = failureHistory(errors) ?? { first: [], last: [] }
  return last.at(-1) ?? first.at(-1)
}
