/** The topology that ships with Headgate: a shop that takes orders. A starting point for your own. */
import { OrderCreated, OrderFulfilled } from '../../schemas/events/orders.ts'
import { defineTopology } from '../topology.ts'
import { processOrder } from './orders.ts'

export default defineTopology({
  streams: {
    'orders:order:created': {
      events: { 'orders.order.created': OrderCreated },
      retention: { maxLength: 100_000, hardLimit: 200_000 },
      groups: { order_processors: { handler: processOrder } }
    },
    'orders:order:fulfilled': {
      events: { 'orders.order.fulfilled': OrderFulfilled },
      retention: { maxLength: 100_000, hardLimit: 200_000 }
    }
  },
  sources: { github: { preset: 'github', keepHeaders: ['x-github-hook-id'] } }
})
