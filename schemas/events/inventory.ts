/** Payloads of the inventory events. */
import { type Static, Type } from 'typebox'

export const StockUpdated = Type.Object(
  {
    productId: Type.String({ minLength: 1, maxLength: 200 }),
    available: Type.Number({ minimum: 0, description: 'How many there are now.' }),
    countedAt: Type.String({ format: 'date-time' })
  },
  { $id: 'StockUpdated', description: 'A product was counted, or a delivery arrived. From then on its stock is kept.' }
)
export type StockUpdated = Static<typeof StockUpdated>

export const StockReserved = Type.Object(
  {
    orderId: Type.String(),
    items: Type.Array(Type.Object({ productId: Type.String(), quantity: Type.Number() }, { $id: 'ReservedItem' }), {
      description: 'One for each product of the order.'
    }),
    reservedAt: Type.String({ format: 'date-time' })
  },
  { $id: 'StockReserved', description: 'The products of an order are set aside.' }
)
export type StockReserved = Static<typeof StockReserved>
