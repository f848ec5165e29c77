/** Payloads of the payment events. */
import { type Static, Type } from 'typebox'

export const PaymentProcessed = Type.Object(
  {
    orderId: Type.String(),
    userId: Type.String(),
    amount: Type.Number(),
    currency: Type.Optional(Type.String({ description: 'ISO 4217, for example EUR.' })),
    processedAt: Type.String({ format: 'date-time' })
  },
  { $id: 'PaymentProcessed', description: 'An order has been paid.' }
)
export type PaymentProcessed = Static<typeof PaymentProcessed>
