/** Orders: each one is kept as a Redis hash `order:<orderId>` and announced as fulfilled. */
import { OrderCreated, type OrderFulfilled } from '../../schemas/events/orders.ts'
import type { ReceivedEvent } from '../streams/entry.ts'
import { dataOf, type HandlerContext } from '../topology.ts'

/**
 * Handles `orders.order.created`. May run more than once for one order and ends the same: the follow-up event is
 * recognised as a duplicate, and the hash is written whole. The hash comes last, so an order that reads `fulfilled`
 * has been announced.
 */
export async function processOrder(event: ReceivedEvent, { redis, key, publish }: HandlerContext): Promise<void> {
  const { orderId, userId, amount, placedAt } = dataOf(OrderCreated, event)
  const processedAt = new Date().toISOString()
  const fulfilled: OrderFulfilled = { orderId, userId, amount, fulfilledAt: processedAt }
  await publish({ type: 'orders.order.fulfilled', subject: orderId, data: fulfilled })
  await redis.hset(key(`order:${orderId}`), { orderId, userId, amount, status: 'fulfilled', placedAt, processedAt })
}
