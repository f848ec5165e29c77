import type { GroupLag } from '../streams/lag.ts'
import type { Families, Sample } from './families.ts'
import type { Figures } from './figures.ts'

/**
 * What each group holds and what became of its events, over the partitions of its stream. The counters are kept in Redis
 * and survive restarts; every gateway on the same Redis says the same.
 */
export function addGroupFamilies({ counter, gauge }: Families, figures: () => Figures): void {
  const over = (combine: (values: number[]) => number) => (of: (lag: GroupLag) => number) => (): Sample[] =>
    figures().groups.map(({ labels, parts }) => ({ labels, value: combine(parts.map(of)) }))
  const sum = over((values) => values.reduce((total, value) => total + value, 0))
  const max = over((values) => Math.max(...values))

  gauge(
    'headgate_group_unread',
    'Entries that nobody of the group has read.',
    sum(({ unread }) => unread)
  )
  gauge(
    'headgate_group_lag_seconds',
    'Age of the oldest entry that nobody of the group has read.',
    max(({ lagSeconds }) => lagSeconds)
  )
  gauge(
    'headgate_group_pending',
    'Entries that were read and are not acknowledged.',
    sum(({ pending }) => pending)
  )
  gauge(
    'headgate_group_oldest_pending_seconds',
    'How long ago the oldest pending entry was handed out.',
    max(({ oldestPendingMs = 0 }) => oldestPendingMs / 1_000)
  )
  gauge(
    'headgate_group_delayed',
    'Events that wait for a retry.',
    sum(({ delayed }) => delayed)
  )
  gauge(
    'headgate_group_requeue',
    'Retries and replays that are about to be handled.',
    sum(({ requeue }) => requeue)
  )
  gauge(
    'headgate_group_dead',
    'Dead letters.',
    sum(({ dead }) => dead)
  )
  gauge(
    'headgate_group_consumers',
    'Processes whose heartbeat is fresh.',
    max(({ consumers }) => consumers)
  )
  gauge(
    'headgate_group_paused',
    '1: an operator paused the group.',
    max(({ paused }) => (paused ? 1 : 0))
  )
  counter(
    'headgate_group_acked_total',
    'Entries that were acknowledged, handled or passed over.',
    sum(({ acked }) => acked)
  )
  counter(
    'headgate_group_dead_letters_total',
    'Dead letters there have ever been.',
    sum(({ deadTotal }) => deadTotal)
  )
  counter(
    'headgate_group_redeliveries_total',
    'Entries taken over from another consumer.',
    sum(({ redeliveries }) => redeliveries)
  )
  counter(
    'headgate_group_crashes_total',
    'Times a process ended while it handled an entry.',
    sum(({ crashes }) => crashes)
  )
  counter(
    'headgate_group_lost_total',
    'Entries that were cut before the group had handled them.',
    sum(({ lost }) => lost)
  )
  counter(
    'headgate_group_recreated_total',
    'Times the group had vanished from Redis and was made again.',
    sum(({ recreated }) => recreated)
  )
  counter(
    'headgate_group_discarded_total',
    'Dead letters that operators deleted.',
    sum(({ discarded }) => discarded)
  )
  counter(
    'headgate_group_replayed_total',
    'Dead letters that replays gave to the group again.',
    sum(({ replayed }) => replayed)
  )
  counter(
    'headgate_group_cleared_total',
    'Events the group held that a seek dropped.',
    sum(({ cleared }) => cleared)
  )
  counter(
    'headgate_group_skipped_total',
    'Unread events that a seek went past.',
    sum(({ skipped }) => skipped)
  )
}
