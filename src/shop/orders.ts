/** Orders: each one is kept as a Redis hash `order:<orderId>`, and what became of it is announced. */
import type { StockReserved } from '../../schemas/events/inventory.ts'
import { OrderCreated, type OrderFulfilled, type OrderRejected } from '../../schemas/events/orders.ts'
import type { PaymentProcessed } from '../../schemas/events/payments.ts'
import type { ReceivedEvent } from '../streams/entry.ts'
import { dataOf } from '../topology.ts'
import type { HandlerContext } from '../topology-options.ts'
import { reserve } from './inventory.ts'

/**
 * Handles `orders.order.created`: sets the products aside, takes the payment, and announces each. An order for more than
 * there is ends `rejected`, which is an answer to the customer and no failure.
 *
 * May run more than once for one order and ends the same: a reservation is remembered by order, follow-up events are
 * recognised as duplicates, and the hash is written whole. The hash comes last, so an order that reads `fulfilled` has
 * been announced.
 */
export async function processOrder(event: ReceivedEvent, context: HandlerContext): Promise<void> {
  const order = dataOf(OrderCreated, event)
  const processedAt = new Date().toISOString()
  const reservation = await reserve(context, order.orderId, order.items)
  if ('missing' in reservation) await rejectOrder(order, `${reservation.missing} is out of stock`, processedAt, context)
  else await fulfill(order, reservation.items, processedAt, context)
}

async function fulfill(
  { orderId, userId, amount, currency, placedAt }: OrderCreated,
  items: StockReserved['items'],
  processedAt: string,
  { redis, key, publish }: HandlerContext
): Promise<void> {
  const reserved: StockReserved = { orderId, items, reservedAt: processedAt }
  const paid: PaymentProcessed = { orderId, userId, amount, currency, processedAt }
  const fulfilled: OrderFulfilled = { orderId, userId, amount, fulfilledAt: processedAt }
  await Promise.all([
    publish({ type: 'inventory.stock.reserved', subject: orderId, data: reserved }),
    publish({ type: 'payments.payment.processed', subject: orderId, data: paid })
  ])
  await publish({ type: 'orders.order.fulfilled', subject: orderId, data: fulfilled })
  await redis.hset(key(`order:${orderId}`), { orderId, userId, amount, status: 'fulfilled', placedAt, processedAt })
}

async function rejectOrder(
  { orderId, userId, amount, placedAt }: OrderCreated,
  reason: string,
  rejectedAt: string,
  { redis, key, publish }: HandlerContext
): Promise<void> {
  const rejected: OrderRejected = { orderId, userId, amount, reason, rejectedAt }
  await publish({ type: 'orders.order.rejected', subject: orderId, data: rejected })
  const hash = { orderId, userId, amount, status: 'rejected', reason, placedAt, processedAt: rejectedAt }
  await redis.hset(key(`order:${orderId}`), hash)
}
