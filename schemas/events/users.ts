/** Payloads of the user events. */
import { type Static, Type } from 'typebox'

const userId = Type.String({ minLength: 1, maxLength: 200 })

export const UserRegistered = Type.Object(
  { userId, email: Type.String({ minLength: 3 }), registeredAt: Type.String({ format: 'date-time' }) },
  { $id: 'UserRegistered', description: 'Somebody has opened an account.' }
)
export type UserRegistered = Static<typeof UserRegistered>

export const UserLoggedIn = Type.Object(
  { userId, loggedInAt: Type.String({ format: 'date-time' }) },
  { $id: 'UserLoggedIn', description: 'A user has logged in.' }
)
export type UserLoggedIn = Static<typeof UserLoggedIn>

export const SubscriptionChanged = Type.Object(
  { userId, plan: Type.String({ minLength: 1 }), changedAt: Type.String({ format: 'date-time' }) },
  { $id: 'SubscriptionChanged', description: 'A user is on another plan.' }
)
export type SubscriptionChanged = Static<typeof SubscriptionChanged>
