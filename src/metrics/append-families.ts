import type { AppendTally } from '../streams/append-tally.ts'
import type { Streams } from '../streams/streams.ts'
import type { Distribution, Families, Sample } from './families.ts'
import type { Histogram } from './histogram.ts'

/** What this process appended, by stream, and what waits to be. */
export function addAppendFamilies(
  { counter, gauge, histogram }: Families,
  { tallies, queue }: Pick<Streams, 'tallies' | 'queue'>
): void {
  const each = (of: (tally: AppendTally) => number) => (): Sample[] =>
    Array.from(tallies, ([stream, tally]) => ({ labels: { stream }, value: of(tally) }))
  const spread = (of: (tally: AppendTally) => Histogram) => (): Distribution[] =>
    Array.from(tallies, ([stream, tally]) => ({ labels: { stream }, histogram: of(tally) }))
  const one = (value: () => number) => (): Sample[] => [{ labels: {}, value: value() }]

  counter(
    'headgate_events_stored_total',
    'Events written to the stream by this process.',
    each(({ stored }) => stored)
  )
  counter(
    'headgate_events_duplicate_total',
    'Events that were stored before and were not written again.',
    each(({ duplicates }) => duplicates)
  )
  histogram(
    'headgate_event_size_bytes',
    'Size of the fields of each event that was to be appended; characters where the text is not ASCII.',
    spread(({ eventBytes }) => eventBytes)
  )
  histogram(
    'headgate_append_duration_seconds',
    'From the moment a request hands its events over until they are stored or refused.',
    spread(({ appendSeconds }) => appendSeconds)
  )
  histogram(
    'headgate_flush_duration_seconds',
    'From sending one flush to Redis until it is answered, at the durability of the stream.',
    spread(({ flushSeconds }) => flushSeconds)
  )
  histogram(
    'headgate_flush_events',
    'Events that went to Redis in one flush.',
    spread(({ flushEvents }) => flushEvents)
  )
  gauge(
    'headgate_append_queue_events',
    'Events that wait for Redis in this process.',
    one(() => queue.events)
  )
  gauge(
    'headgate_append_queue_bytes',
    'Size of the events that wait for Redis in this process.',
    one(() => queue.bytes)
  )
  gauge(
    'headgate_append_queue_limit_events',
    'Events that may wait before requests are refused as overloaded.',
    one(() => queue.maxEvents)
  )
  gauge(
    'headgate_append_queue_limit_bytes',
    'Size of events that may wait before requests are refused as overloaded.',
    one(() => queue.maxBytes)
  )
}
