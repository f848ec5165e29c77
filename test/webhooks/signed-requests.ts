import { generateKeyPairSync } from 'node:crypto'
import type { PresetDefinition } from '../../src/webhooks/preset-definition.ts'
import { signWebhook } from '../../src/webhooks/sign.ts'
import type { WebhookRequest } from '../../src/webhooks/signature.ts'

export const now = Date.parse('2026-11-21T12:00:00Z')
export const url = 'https://gateway.example/webhooks/sender'
export const secret = 'a-secret-of-the-test'

export interface Sender {
  /** What signs and what is configured; the same for a shared secret. */
  signing: string
  secret: string
}

export function senderOf(name: string, definition: PresetDefinition): Sender {
  if (definition.kind === 'publicKey') {
    const isEd25519 = definition.algorithm === 'ed25519'
    const { privateKey, publicKey } = isEd25519
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const signing = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    const spki = publicKey.export({ type: 'spki', format: 'der' })
    const raw = spki.subarray(-32)
    return {
      signing,
      secret: name === 'discord' ? raw.toString('hex') : isEd25519 ? raw.toString('base64') : spki.toString('base64')
    }
  }
  const bytes = Buffer.alloc(32, 7)
  const shared =
    definition.kind === 'hmac' && definition.key.encoding !== 'utf8' ? bytes.toString(definition.key.encoding) : secret
  return { signing: shared, secret: shared }
}

/** A body that carries what some senders put there: Linear's time, Graph's token. */
export const bodyAt = (time: number) =>
  Buffer.from(JSON.stringify({ webhookTimestamp: time, value: [{ id: 'n1', clientState: secret }] }))

export function signedRequest(name: string, sender: Sender, change: Partial<WebhookRequest> = {}): WebhookRequest {
  const contentType = name === 'twilio' ? 'application/x-www-form-urlencoded' : 'application/json'
  const body = name === 'twilio' ? Buffer.from('To=%2B1800&From=%2B1415') : bodyAt(now)
  const headers = signWebhook(name, {
    secret: sender.signing,
    method: 'POST',
    url,
    body,
    contentType,
    now,
    id: 'delivery-1',
    type: 'made'
  })
  return { secrets: [sender.secret], method: 'POST', url, headers, body, now, ...change }
}
