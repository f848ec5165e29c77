/** Notifications: forwarded to the service that sends them, where there is one, else only logged. */
import { forward } from '../consume/forward.ts'
import type { GroupOptions, Handler } from '../topology-options.ts'

/** How a channel is set up in the environment: EMAIL_FORWARD_URL and EMAIL_FORWARD_SECRET, for example. */
export type NotifierSettings = Record<string, string | undefined>

/** The group of one channel, `email` for example. Throws when its URL is set and its secret is missing or unusable. */
export function notifier(channel: 'email' | 'sms' | 'push', settings: NotifierSettings): GroupOptions {
  const variable = `${channel.toUpperCase()}_FORWARD`
  const url = settings[`${variable}_URL`]
  const types = [`users.notification.${channel}`]
  if (!url) return { types, handler: logOnly(`${variable}_URL`) }
  const secret = settings[`${variable}_SECRET`]
  if (!secret) throw new Error(`${variable}_URL is set and ${variable}_SECRET is not: deliveries must be signed`)
  return { types, handler: forward({ url, secret }) }
}

function logOnly(variable: string): Handler {
  return async (event, { log }) => log.info({ type: event.type }, `Notification not sent: ${variable} is not set`)
}
