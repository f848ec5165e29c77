/** Payloads of the order events. They stay open: what a sender adds is stored and handed on as it came. */
import { type Static, Type } from 'typebox'

export const OrderItem = Type.Object(
  {
    productId: Type.String({ minLength: 1 }),
    quantity: Type.Number({ minimum: 0 }),
    unitPrice: Type.Number({ minimum: 0 })
  },
  { $id: 'OrderItem', description: 'One line of an order.' }
)
export type OrderItem = Static<typeof OrderItem>

export const OrderCreated = Type.Object(
  {
    orderId: Type.String({ minLength: 1, maxLength: 200 }),
    userId: Type.String({ minLength: 1, maxLength: 200 }),
    amount: Type.Number({ minimum: 0, description: 'Total of the order, in `currency`.' }),
    currency: Type.Optional(Type.String({ description: 'ISO 4217, for example EUR.' })),
    items: Type.Array(OrderItem),
    placedAt: Type.String({ format: 'date-time' })
  },
  { $id: 'OrderCreated', description: 'A customer has placed an order.' }
)
export type OrderCreated = Static<typeof OrderCreated>

export const OrderFulfilled = Type.Object(
  {
    orderId: Type.String(),
    userId: Type.String(),
    amount: Type.Number(),
    fulfilledAt: Type.String({ format: 'date-time' })
  },
  { $id: 'OrderFulfilled', description: 'An order has been processed.' }
)
export type OrderFulfilled = Static<typeof OrderFulfilled>

export const OrderRejected = Type.Object(
  {
    orderId: Type.String(),
    userId: Type.String(),
    amount: Type.Number(),
    reason: Type.String({ description: 'Why, for people, for example: sku-100 is out of stock.' }),
    rejectedAt: Type.String({ format: 'date-time' })
  },
  { $id: 'OrderRejected', description: 'An order cannot be fulfilled and is closed.' }
)
export type OrderRejected = Static<typeof OrderRejected>
