/**
 * What senders ask before they deliver, and what they want to hear. Pure: nothing is stored, nothing is ever fetched.
 *
 * Echoed values are somebody else's text: capped, `text/plain` (or JSON) and `nosniff`.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { readJson, resolvePointer } from './json-pointer.ts'
import type { PresetDefinition } from './preset-definition.ts'
import { presetOf } from './presets.ts'
import { type Headers, readHeader } from './request.ts'

export interface HandshakeRequest {
  method: string
  /** Decoded query parameters; a list where one was sent several times. */
  query: Readonly<Record<string, string | string[] | undefined>>
  headers: Headers
  body: Uint8Array
  /** What Meta must repeat; without it Meta's handshake is refused. */
  verifyToken?: string
  /** Whether the request's signature has been found good. Slack and Discord are not answered before. */
  verified: boolean
  /** CloudEvents senders that may deliver; any when left out, for each delivery still needs the secret. */
  allowedOrigins?: readonly string[]
  /** The source's real limit in requests per minute; none when left out. */
  allowedRate?: number
}

export interface HandshakeAnswer {
  status: number
  headers: Record<string, string>
  body: string
}

const maxEchoBytes = 4_096

/** The answer to a handshake; undefined when the request is none, or not yet one that may be answered. */
export function answerHandshake(
  preset: string | PresetDefinition,
  request: HandshakeRequest
): HandshakeAnswer | undefined {
  switch (presetOf(preset)?.handshake) {
    case 'meta-get':
      return request.method === 'GET' ? metaAnswer(request) : undefined
    case 'msgraph':
      return request.method === 'POST' && request.query.validationToken !== undefined
        ? echo(request.query.validationToken)
        : undefined
    case 'eventgrid':
      return request.method === 'POST' ? eventGridAnswer(request) : undefined
    case 'cloudevents-options':
      return request.method === 'OPTIONS' ? optionsAnswer(request) : undefined
    case 'slack':
      return request.method === 'POST' && request.verified ? slackAnswer(request) : undefined
    case 'discord':
      return request.method === 'POST' && request.verified ? discordAnswer(request) : undefined
    default:
      return undefined
  }
}

/** Meta's GET is not signed; the token is what shows that Meta asks on behalf of the app's owner. */
function metaAnswer({ query, verifyToken }: HandshakeRequest): HandshakeAnswer | undefined {
  const mode = query['hub.mode']
  const token = query['hub.verify_token']
  if (mode === undefined) return undefined
  const isHeld =
    typeof token === 'string' && verifyToken !== undefined && verifyToken !== '' && isSame(token, verifyToken)
  return mode === 'subscribe' && isHeld ? echo(query['hub.challenge']) : plain(403, '')
}

function slackAnswer({ body }: HandshakeRequest): HandshakeAnswer | undefined {
  const json = readJson(body)
  return resolvePointer(json, '/type') === 'url_verification' ? echo(resolvePointer(json, '/challenge')) : undefined
}

/** `validationUrl`, the other way to answer, is never fetched. */
function eventGridAnswer({ headers, body }: HandshakeRequest): HandshakeAnswer | undefined {
  if (readHeader(headers, ['aeg-event-type']) !== 'SubscriptionValidation') return undefined
  const json = readJson(body)
  if (resolvePointer(json, '/0/eventType') !== 'Microsoft.EventGrid.SubscriptionValidationEvent') return undefined
  const code = resolvePointer(json, '/0/data/validationCode')
  return isEchoable(code) ? jsonAnswer({ validationResponse: code }) : plain(400, '')
}

/**
 * An interaction PING has type 1 and wants type 1 back; the PING of Discord's webhook events has type 0 and wants 204.
 * A webhook event has type 1 as well, but carries `event`.
 */
function discordAnswer({ body }: HandshakeRequest): HandshakeAnswer | undefined {
  const json = readJson(body)
  const type = resolvePointer(json, '/type')
  if (resolvePointer(json, '/event') !== undefined) return undefined
  if (type === 1) return jsonAnswer({ type: 1 })
  return type === 0 ? plain(204, '') : undefined
}

/** CloudEvents abuse protection: consent is two headers, refusal their absence; the callback URL is never called. */
function optionsAnswer({ headers, allowedOrigins, allowedRate }: HandshakeRequest): HandshakeAnswer | undefined {
  const origin = readHeader(headers, ['webhook-request-origin'])
  if (origin === undefined) return undefined
  const isName = typeof origin === 'string' && /^[A-Za-z0-9.:-]{1,253}$/.test(origin)
  const isAllowed =
    isName &&
    (allowedOrigins?.some((allowed) => allowed === '*' || allowed.toLowerCase() === origin.toLowerCase()) ?? true)
  if (!isAllowed) return plain(403, '')
  const answer = plain(200, '')
  answer.headers['webhook-allowed-origin'] = origin
  if (headers['webhook-request-rate'] !== undefined) answer.headers['webhook-allowed-rate'] = String(allowedRate ?? '*')
  answer.headers.allow = 'POST'
  return answer
}

const isEchoable = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= maxEchoBytes

const echo = (value: unknown): HandshakeAnswer => (isEchoable(value) ? plain(200, value) : plain(400, ''))

function plain(status: number, body: string): HandshakeAnswer {
  return { status, headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' }, body }
}

function jsonAnswer(value: object): HandshakeAnswer {
  return {
    status: 200,
    headers: { 'content-type': 'application/json; charset=utf-8', 'x-content-type-options': 'nosniff' },
    body: JSON.stringify(value)
  }
}

function isSame(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}
