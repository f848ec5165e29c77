import { createHmac, createPrivateKey, sign } from 'node:crypto'
import { contentsOf } from './content.ts'
import type { PresetDefinition, SignatureFormat } from './preset-definition.ts'
import { presetOf } from './presets.ts'
import { keyFromSecret } from './secrets.ts'
import { timestampText } from './timestamp.ts'

export interface WebhookToSign {
  /** The shared secret; for asymmetric schemes the private key as PKCS#8 PEM. */
  secret: string
  method?: string
  /** Needed where the scheme signs it. */
  url?: string
  body: Uint8Array
  contentType?: string
  /** Milliseconds since the epoch. */
  now: number
  /** Delivery id and event type, for senders that put them in a header; others carry them in the body. */
  id?: string
  type?: string
}

/**
 * The headers with which that sender would deliver this body.
 * A timestamp inside the body (Linear) and a token in the URL or the body (Graph) are the caller's to write.
 * Throws when the preset is unknown, the secret does not fit it or a part that is signed is missing.
 */
export function signWebhook(preset: string | PresetDefinition, request: WebhookToSign): Record<string, string> {
  const definition = presetOf(preset)
  if (definition === undefined) throw new Error(`there is no preset '${preset}'`)
  const { contentType = 'application/json', secret, now } = request
  const headers: Record<string, string> = { 'content-type': contentType }
  const set = (names: readonly string[] | undefined, value: string | undefined) => {
    const [name] = names ?? []
    if (name !== undefined && value !== undefined) headers[name] = value
  }
  set(definition.id?.headers, request.id)
  set(definition.eventType?.headers, request.type)
  if (definition.kind === 'token') {
    set(definition.token.headers, (definition.token.prefix ?? '') + secret)
    return headers
  }
  const stamp = definition.timestamp
  const timestamp = stamp === undefined ? undefined : timestampText(now, stamp.unit)
  if (stamp?.headers !== undefined) set(stamp.headers, timestamp)
  const { method = 'POST', url, body, id } = request
  const [content] = contentsOf(definition.signed, { method, url, body, contentType, id, timestamp }) ?? []
  if (content === undefined)
    throw new Error(`'${definition.signed}' needs a part that is missing, or that does not match the body`)
  const bytes = Buffer.concat(content.map((part) => Buffer.from(part)))
  const signature = signatureOf(definition, secret, bytes).toString(definition.signature.encoding)
  set(definition.signature.headers, formatted(definition.signature.format, signature, timestamp))
  return headers
}

function signatureOf(definition: Exclude<PresetDefinition, { kind: 'token' }>, secret: string, bytes: Buffer): Buffer {
  if (definition.kind === 'publicKey')
    return sign(definition.algorithm === 'ed25519' ? null : 'sha256', bytes, createPrivateKey(secret))
  const key = keyFromSecret(definition, secret)
  if (key === undefined) throw new Error(`the secret is not ${definition.key.encoding}`)
  return createHmac(definition.algorithm, key).update(bytes).digest()
}

function formatted(format: SignatureFormat, signature: string, timestamp: string | undefined): string {
  switch (format.type) {
    case 'raw':
      return signature
    case 'prefixed':
      return format.prefix + signature
    case 'list':
      return format.version + format.versionSeparator + signature
    case 'fields': {
      const stamp = format.timestampKey === undefined ? '' : `${format.timestampKey}=${timestamp}${format.separator}`
      return `${stamp}${format.signatureKey}=${signature}`
    }
  }
}
