/** Payloads of the notifications that users are to get. */
import { type Static, Type } from 'typebox'

const userId = Type.String({ minLength: 1, maxLength: 200 })
const text = Type.String({ description: 'Plain text.' })

export const EmailNotification = Type.Object(
  { userId, to: Type.String({ minLength: 3 }), subject: Type.String(), text },
  { $id: 'EmailNotification', description: 'A user is to get a mail.' }
)
export type EmailNotification = Static<typeof EmailNotification>

export const SmsNotification = Type.Object(
  { userId, to: Type.String({ minLength: 3, description: 'E.164, for example +4915112345678.' }), text },
  { $id: 'SmsNotification', description: 'A user is to get a text message.' }
)
export type SmsNotification = Static<typeof SmsNotification>

export const PushNotification = Type.Object(
  { userId, deviceToken: Type.String({ minLength: 1 }), title: Type.String(), text },
  { $id: 'PushNotification', description: 'A device of a user is to show a notification.' }
)
export type PushNotification = Static<typeof PushNotification>
