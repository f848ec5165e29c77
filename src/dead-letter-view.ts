/** Dead letters as the answers show them, and filters as the requests give them. */
import type { DeadLetterCause as CauseView, DeadLetterItem, DeadLetterFilter as Given } from '../schemas/dead-letter.ts'
import { entryIdFrom } from './cursors.ts'
import { eventText } from './entry-text.ts'
import type { DeadLetter, DeadLetterCause, DeadLetterFilter, FailureRecord } from './streams/dead-letters.ts'

export function filterFrom({ from, to, ...rest }: Given): DeadLetterFilter {
  return {
    ...rest,
    from: from === undefined ? undefined : entryIdFrom(from, 'from'),
    to: to === undefined ? undefined : entryIdFrom(to, 'to', 'last')
  }
}

function letterView(stream: string, letter: DeadLetter) {
  const { id, entryId, reason, attempts, crashes, consumer, fingerprint } = letter
  const times = { firstFailedAt: isoTime(letter.firstFailedAt), lastFailedAt: isoTime(letter.lastFailedAt) }
  return { id, stream, entryId, reason, attempts, crashes, ...times, consumer, fingerprint }
}

export function deadLetterItem(stream: string, letter: DeadLetter): DeadLetterItem {
  const { id: eventId, source, type, subject } = letter.event
  const last = letter.errors?.last.at(-1) ?? letter.errors?.first.at(-1)
  return { ...letterView(stream, letter), eventId, source, type, subject, lastError: failureView(last) }
}

/** The whole letter as JSON text: the event's data goes in as it was sent. */
export function deadLetterText(stream: string, letter: DeadLetter): string {
  const { total = 0, first = [], last = [] } = letter.errors ?? {}
  const history = { failures: total, firstErrors: first.map(failureView), lastErrors: last.map(failureView) }
  const head = JSON.stringify({ ...letterView(stream, letter), ...history })
  return `${head.slice(0, -1)},"event":${eventText(letter.event)}}`
}

/** Causes of several parts, put together; the most frequent first. */
export function causesView(parts: readonly { stream: string; causes: DeadLetterCause[] }[]): CauseView[] {
  const views = new Map<string, CauseView>()
  for (const { stream, causes } of parts) {
    for (const { firstId, lastId, error, ...cause } of causes) {
      const name = `${cause.reason} ${cause.fingerprint}`
      const view = {
        ...cause,
        firstAt: idTime(firstId),
        lastAt: idTime(lastId),
        lastId,
        stream,
        lastError: failureView(error)
      }
      const other = views.get(name)
      if (other === undefined) views.set(name, view)
      else {
        const [newer, older] = view.lastAt > other.lastAt ? [view, other] : [other, view]
        const firstAt = newer.firstAt < older.firstAt ? newer.firstAt : older.firstAt
        views.set(name, { ...newer, count: view.count + other.count, firstAt })
      }
    }
  }
  return [...views.values()].sort((a, b) => b.count - a.count)
}

function failureView(failure: FailureRecord | undefined) {
  return failure === undefined ? undefined : { ...failure, at: isoTime(failure.at) }
}

export function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}

/** The time in an entry id. */
export function idTime(id: string): string {
  return isoTime(Number(id.split('-')[0]))
}
