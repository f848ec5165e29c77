/** What groups hold, as the answers show it. */
import type { DelayedItem as DelayedView } from '../schemas/group.ts'
import type { PendingItem as PendingView } from '../schemas/pending.ts'
import { entryIdFrom } from './cursors.ts'
import { isoTime } from './dead-letter-view.ts'
import { lastFailure } from './streams/dead-letters.ts'
import type { DelayedItem } from './streams/delayed-pages.ts'
import type { PendingItem } from './streams/pending-pages.ts'

const PREVIEW = 200

export function pendingView(stream: string, { event, ...item }: PendingItem): PendingView {
  if (event === undefined) return { ...item, stream, gone: true }
  const preview = (event.data ?? event.data_base64)?.slice(0, PREVIEW)
  return { ...item, stream, gone: false, eventId: event.id, type: event.type, subject: event.subject, preview }
}

export function delayedView(
  stream: string,
  { errors, event, dueAt, firstFailedAt, ...item }: DelayedItem
): DelayedView {
  const last = lastFailure(errors)
  return {
    ...item,
    stream,
    dueAt: isoTime(dueAt),
    firstFailedAt: isoTime(firstFailedAt),
    lastError: last === undefined ? undefined : `${last.name}: ${last.message}`,
    eventId: event.id,
    type: event.type,
    subject: event.subject
  }
}

/**
 * The last entry that counts as read when the next one shall be `to`: `beginning`, `end`, an entry id or a time.
 * Throws ProblemError `invalid-parameter` for anything else.
 */
export function seekPosition(to: string): string {
  if (to === 'beginning') return '0-0'
  if (to === 'end') return '$'
  const [ms = '0', seq = '0'] = entryIdFrom(to, 'to', 'first', '`beginning`, `end`, ').split('-')
  if (BigInt(seq) > 0n) return `${ms}-${BigInt(seq) - 1n}`
  return BigInt(ms) === 0n ? '0-0' : `${BigInt(ms) - 1n}-18446744073709551615`
}
