/** The topology that ships with Headgate: a shop. A starting point for your own. */
import { env } from 'node:process'
import { CartCheckedOut, CartItemAdded, CartItemQuantityChanged, CartItemRemoved } from '../../schemas/events/carts.ts'
import { StockReserved, StockUpdated } from '../../schemas/events/inventory.ts'
import { EmailNotification, PushNotification, SmsNotification } from '../../schemas/events/notifications.ts'
import { OrderCreated, OrderFulfilled, OrderRejected } from '../../schemas/events/orders.ts'
import { PaymentProcessed } from '../../schemas/events/payments.ts'
import { ReadingRecorded } from '../../schemas/events/sensors.ts'
import { SubscriptionChanged, UserLoggedIn, UserRegistered } from '../../schemas/events/users.ts'
import { defineTopology, type Topology } from '../topology.ts'
import { projectCart, rebuildCarts } from './carts.ts'
import { keepStock } from './inventory.ts'
import { type NotifierSettings, notifier } from './notifications.ts'
import { processOrder } from './orders.ts'
import { keepReading } from './sensors.ts'
import { countEvent, keepAccount } from './users.ts'

/** The shop; the settings say where notifications are forwarded to (notifications.ts). */
export function shop(settings: NotifierSettings): Topology {
  return defineTopology({
    streams: {
      'orders:order:created': {
        events: { 'orders.order.created': OrderCreated },
        retention: { maxLength: 100_000, hardLimit: 200_000 },
        groups: { order_processors: { handler: processOrder, concurrency: 64 } }
      },
      'orders:order:fulfilled': { events: { 'orders.order.fulfilled': OrderFulfilled } },
      'orders:order:rejected': { events: { 'orders.order.rejected': OrderRejected } },
      'payments:payment:processed': { events: { 'payments.payment.processed': PaymentProcessed } },
      'inventory:stock:updated': {
        events: { 'inventory.stock.updated': StockUpdated },
        groups: { stock_keepers: { handler: keepStock } }
      },
      'inventory:stock:reserved': { events: { 'inventory.stock.reserved': StockReserved } },
      'users:user:events': {
        events: {
          'users.user.registered': UserRegistered,
          'users.user.logged_in': UserLoggedIn,
          'users.subscription.changed': SubscriptionChanged
        },
        groups: {
          billing: { handler: keepAccount, types: ['users.user.registered', 'users.subscription.changed'] },
          analytics: { handler: countEvent }
        }
      },
      'users:user:notifications': {
        events: {
          'users.notification.email': EmailNotification,
          'users.notification.sms': SmsNotification,
          'users.notification.push': PushNotification
        },
        groups: {
          email_notifier: notifier('email', settings),
          sms_notifier: notifier('sms', settings),
          push_notifier: notifier('push', settings)
        }
      },
      // Kept whole, so that every cart can be made anew; a user's events keep their order.
      'carts:cart:events': {
        events: {
          'carts.item.added': CartItemAdded,
          'carts.item.quantity-changed': CartItemQuantityChanged,
          'carts.item.removed': CartItemRemoved,
          'carts.cart.checked-out': CartCheckedOut
        },
        partitions: 8,
        retention: { keepAll: true },
        groups: { cart_projectors: { ordered: true, handler: projectCart, rebuild: rebuildCarts } }
      },
      // Yesterday's temperature is worth less than a sensor that can go on: what nobody read in time is cut, and counted.
      'sensors:reading:recorded': {
        events: { 'sensors.reading.recorded': ReadingRecorded },
        retention: { maxLength: 50_000, unread: 'drop' },
        groups: { reading_keepers: { handler: keepReading } }
      }
    },
    sources: { github: { preset: 'github', keepHeaders: ['x-github-hook-id'] } }
  })
}

export default shop(env)
