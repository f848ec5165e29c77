/** User events, read by two groups that know nothing of each other: billing and analytics. */
import { SubscriptionChanged, UserRegistered } from '../../schemas/events/users.ts'
import type { ReceivedEvent } from '../streams/entry.ts'
import { dataOf } from '../topology.ts'
import type { HandlerContext } from '../topology-options.ts'
import { keepLatest } from './latest.ts'

/** Keeps `billing:account:<userId>` as a hash: who is on which plan since when. New users are on the plan `free`. */
export async function keepAccount(event: ReceivedEvent, context: HandlerContext): Promise<void> {
  if (event.type === 'users.user.registered') {
    const { userId, registeredAt } = dataOf(UserRegistered, event)
    return keepLatest(context, `billing:account:${userId}`, registeredAt, { userId, plan: 'free', since: registeredAt })
  }
  const { userId, plan, changedAt } = dataOf(SubscriptionChanged, event)
  await keepLatest(context, `billing:account:${userId}`, changedAt, { userId, plan, since: changedAt })
}

/**
 * Counts the events of each type and day in the HyperLogLog `analytics:<type>:<date>`, to within 1 %. An event that is
 * handled twice counts once.
 */
export async function countEvent(event: ReceivedEvent, { redis, key }: HandlerContext): Promise<void> {
  const day = (event.time ?? new Date().toISOString()).slice(0, 10)
  await redis.pfadd(key(`analytics:${event.type}:${day}`), `${event.source} ${event.id}`)
}
