/**
 * The names under which stored events are remembered, so that the same one is not stored twice.
 */
import { hash } from 'node:crypto'
import type { Draft } from './draft.ts'
import { type Faults, oneFault } from './faults.ts'

/** What makes two appends the same one, by where the event came from. */
export type Identity =
  /** The event at `index` of a body sent under an Idempotency-Key. */
  | [kind: 'key', apiKeyName: string, idempotencyKey: string, index: number]
  | [kind: 'event', apiKeyName: string, source: string, id: string]
  /** What a handler publishes while it handles the event `source`, `id`; `key` is its own or the call's index. */
  | [kind: 'publish', stream: string, group: string, source: string, id: string, target: string, key: string | number]
  | [kind: 'webhook', source: string, id: string]
  /** A delivery whose id nothing vouches for: the SHA-256 of its body. */
  | [kind: 'webhook-body', source: string, sha256: string]

/** 22 Base64 characters are 132 bits: no two identities meet, by accident or on purpose. */
const digestLength = 22

/** The digest of an identity: 22 characters of Base64url. */
export function seenDigest(...identity: Identity): string {
  return digestOf(identity)
}

/** A digest over what the client said the event is: type, subject and data as sent, before anything is filled in. */
export function fingerprint(draft: Draft): string {
  return digestOf([draft.type, draft.subject, draft.data, draft.data_base64])
}

/** Each part goes in behind its length, so no two lists of parts give the same text; `-` is a part that is absent. */
function digestOf(parts: readonly (string | number | undefined)[]): string {
  let text = ''
  for (const part of parts) {
    const value = typeof part === 'number' ? String(part) : part
    text += value === undefined ? '-' : `${value.length}:${value}`
  }
  return hash('sha256', text, 'base64url').slice(0, digestLength)
}

const visibleAscii = /^[!-~]{1,255}$/
// A Structured Field String (RFC 9651 3.3.3), without the spaces it would allow.
const quotedKey = /^"((?:[!#-[\]-~]|\\["\\])*)"$/

/**
 * The Idempotency-Key, the same with and without its quotes; `key` is undefined when none was sent.
 * A header that was sent twice is a fault, whether Node gives a list or has joined the two with a comma and a space.
 */
export function parseIdempotencyKey(
  sent: string | string[] | undefined
): { ok: true; key: string | undefined } | Faults {
  if (sent === undefined) return { ok: true, key: undefined }
  const value = Array.isArray(sent) ? (sent.length === 1 ? sent[0] : undefined) : sent
  const key = value?.startsWith('"') ? quotedKey.exec(value)?.[1]?.replace(/\\(.)/g, '$1') : value
  if (key !== undefined && visibleAscii.test(key)) return { ok: true, key }
  return oneFault(
    'invalid-idempotency-key',
    '',
    'the Idempotency-Key is not one string of 1 to 255 visible ASCII characters'
  )
}
