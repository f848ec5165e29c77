/** Payloads of the cart events. Whose cart it is says the event's subject: the user's id. */
import { type Static, Type } from 'typebox'

const productId = Type.String({ minLength: 1, maxLength: 200 })

export const CartItemAdded = Type.Object(
  { productId, quantity: Type.Integer({ minimum: 1, maximum: 1_000_000 }) },
  { $id: 'CartItemAdded', description: 'A user has put so many more of a product into the cart.' }
)
export type CartItemAdded = Static<typeof CartItemAdded>

export const CartItemQuantityChanged = Type.Object(
  { productId, quantity: Type.Integer({ minimum: 0, maximum: 1_000_000 }) },
  { $id: 'CartItemQuantityChanged', description: 'There are now so many of a product in the cart; 0 takes it out.' }
)
export type CartItemQuantityChanged = Static<typeof CartItemQuantityChanged>

export const CartItemRemoved = Type.Object(
  { productId },
  { $id: 'CartItemRemoved', description: 'A user has taken a product out of the cart.' }
)
export type CartItemRemoved = Static<typeof CartItemRemoved>

export const CartCheckedOut = Type.Object(
  { orderId: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })) },
  { $id: 'CartCheckedOut', description: 'A user has ordered what was in the cart; it is empty now.' }
)
export type CartCheckedOut = Static<typeof CartCheckedOut>
