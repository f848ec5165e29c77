/**
 * One verifier for every webhook sender: it runs what presets.ts describes. Pure; the clock is an argument.
 *
 * It hashes the body's bytes as received and fails closed: whatever is missing, repeated, too long, malformed or
 * unknown is a refusal. Every signature is compared with every secret, in constant time, before the verdict.
 */
import { createHmac, KeyObject, timingSafeEqual, verify } from 'node:crypto'
import { type Content, contentsOf } from './content.ts'
import { readJson, resolvePointer, textOf } from './json-pointer.ts'
import { textInBody } from './lookup.ts'
import type { HmacPreset, PresetDefinition, PublicKeyPreset, SignatureHeader } from './preset-definition.ts'
import { isSound } from './preset-faults.ts'
import { presetOf } from './presets.ts'
import { type Headers, isRefusal, type Refusal, readHeader, refuse, type WebhookRequest } from './request.ts'
import { decodeStrictly, keyFromSecret } from './secrets.ts'
import { instantOf } from './timestamp.ts'
import { tokenRefusal } from './token.ts'

export { checkPreset } from './preset-faults.ts'
export type { Headers, Reason, WebhookRequest } from './request.ts'
export { checkSecret } from './secrets.ts'

/** `id` and `type` as the sender spells them, where it has them; `timestamp` in milliseconds since the epoch. */
export type Verdict = { ok: true; id?: string; type?: string; timestamp?: number } | Refusal

type SignedPreset = HmacPreset | PublicKeyPreset
type Key = Buffer | KeyObject

const maxCandidates = 32
const signatureBytes = { sha1: 20, sha256: 32, sha512: 64, ed25519: 64, 'ecdsa-p256-sha256': undefined }

/** Decides whether a request comes from someone who holds one of the secrets. Never throws. */
export function verifyWebhook(preset: string | PresetDefinition, request: WebhookRequest): Verdict {
  const definition = presetOf(preset)
  if (definition === undefined || !isSound(definition)) return refuse('unknown-preset')
  const id = readHeader(request.headers, definition.id?.headers)
  if (isRefusal(id)) return id
  const type = readHeader(request.headers, definition.eventType?.headers)
  if (isRefusal(type)) return type

  let timestamp: number | undefined
  if (definition.kind === 'token') {
    const refusal = tokenRefusal(definition, request)
    if (refusal !== undefined) return refusal
  } else {
    const signed = checkSignature(definition, request, id)
    if (isRefusal(signed)) return signed
    const checked = checkTimestamp(definition, request, signed.timestamp)
    if (isRefusal(checked)) return checked
    timestamp = checked.timestamp
  }
  return {
    ok: true,
    id: id ?? textInBody(definition.id, request.body),
    type: type ?? textInBody(definition.eventType, request.body),
    timestamp
  }
}

/** The timestamp as sent, once the signature over it and over everything else has been found good. */
function checkSignature(
  definition: SignedPreset,
  request: WebhookRequest,
  id: string | undefined
): { timestamp?: string } | Refusal {
  const { signature, signed, algorithm } = definition
  const { headers, method, url, body } = request
  const keys = request.secrets.map((secret) => keyFromSecret(definition, secret)).filter((key) => key !== undefined)
  if (keys.length === 0) return refuse('no-usable-secret')
  const header = readHeader(headers, signature.headers)
  if (isRefusal(header)) return header
  if (header === undefined) return refuse('missing-header')
  const sent = parseSignature(signature, header)
  const candidates = decodeCandidates(definition, sent.candidates)
  if (isRefusal(candidates)) return candidates
  const timestamp = sentTimestamp(definition, headers, sent.timestamp)
  if (isRefusal(timestamp)) return timestamp
  if (id === undefined && signed.includes('{id}')) return refuse('missing-header')
  const contentType = readHeader(headers, ['content-type'])
  if (isRefusal(contentType)) return contentType
  const contents = contentsOf(signed, { method, url, body, contentType, id, timestamp })
  if (contents === undefined) return refuse(url === undefined ? 'missing-url' : 'body-hash-mismatch')
  return matchesAny(algorithm, keys, contents, candidates) ? { timestamp } : refuse('bad-signature')
}

function sentTimestamp(
  { timestamp: stamp }: SignedPreset,
  headers: Headers,
  field: string | undefined
): string | undefined | Refusal {
  if (stamp === undefined || stamp.json !== undefined) return undefined
  const text = stamp.field ? field : readHeader(headers, stamp.headers)
  if (isRefusal(text)) return text
  if (text === undefined) return refuse(stamp.field ? 'malformed-header' : 'missing-header')
  return instantOf(text, stamp.unit) === undefined ? refuse('malformed-header') : text
}

/** Only after the signature: until then the timestamp is anyone's. The window is symmetric and its edges are in it. */
function checkTimestamp(
  { timestamp: stamp }: SignedPreset,
  { now, toleranceSeconds, body }: WebhookRequest,
  sent: string | undefined
): { timestamp?: number } | Refusal {
  if (stamp === undefined) return {}
  const text = stamp.json === undefined ? sent : textOf(resolvePointer(readJson(body), stamp.json))
  const timestamp = text === undefined ? undefined : instantOf(text, stamp.unit)
  if (timestamp === undefined) return refuse('malformed-body')
  const tolerance = toleranceSeconds === undefined ? stamp.tolerance : toleranceSeconds
  const inWindow = tolerance === null || Math.abs(now - timestamp) <= tolerance * 1_000
  return inWindow ? { timestamp } : refuse('timestamp-out-of-tolerance')
}

function parseSignature({ format }: SignatureHeader, value: string): { candidates: string[]; timestamp?: string } {
  if (format.type === 'raw') return { candidates: [value] }
  const parts = format.type === 'prefixed' ? [value] : value.split(format.separator)
  const behind = (start: string) =>
    parts.filter((part) => part.startsWith(start)).map((part) => part.slice(start.length))
  if (format.type === 'prefixed') return { candidates: behind(format.prefix) }
  if (format.type === 'list') return { candidates: behind(format.version + format.versionSeparator) }
  const timestamps = format.timestampKey === undefined ? [] : behind(`${format.timestampKey}=`)
  return {
    candidates: behind(`${format.signatureKey}=`),
    timestamp: timestamps.length === 1 ? timestamps[0] : undefined
  }
}

/** Strictly decoded signatures of the right length; one malformed among good ones is only skipped. */
function decodeCandidates({ algorithm, signature }: SignedPreset, texts: string[]): Buffer[] | Refusal {
  if (texts.length > maxCandidates) return refuse('too-many-signatures')
  const length = signatureBytes[algorithm]
  const decoded = texts
    .map((text) => decodeStrictly(text, signature.encoding))
    .filter((bytes) => bytes !== undefined && (length === undefined || bytes.length === length)) as Buffer[]
  return decoded.length === 0 ? refuse('malformed-header') : decoded
}

function matchesAny(
  algorithm: string,
  keys: readonly Key[],
  contents: readonly Content[],
  candidates: readonly Buffer[]
): boolean {
  let matches = 0
  for (const content of contents) {
    for (const key of keys) {
      const isMatch =
        key instanceof KeyObject ? publicKeyMatch(algorithm, key, content) : hmacMatch(algorithm, key, content)
      for (const candidate of candidates) if (isMatch(candidate)) matches++
    }
  }
  return matches > 0
}

function hmacMatch(algorithm: string, key: Buffer, content: Content): (candidate: Buffer) => boolean {
  const hmac = createHmac(algorithm, key)
  for (const part of content) hmac.update(part)
  const expected = hmac.digest()
  return (candidate) => timingSafeEqual(candidate, expected)
}

function publicKeyMatch(algorithm: string, key: KeyObject, content: Content): (candidate: Buffer) => boolean {
  const bytes = Buffer.concat(content.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
  return (candidate) => verify(algorithm === 'ed25519' ? null : 'sha256', bytes, key, candidate)
}
