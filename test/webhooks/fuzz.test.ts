import fc from 'fast-check'
import t from 'tap'
import { answerHandshake } from '../../src/webhooks/handshakes.ts'
import { presets } from '../../src/webhooks/presets.ts'
import { verifyWebhook } from '../../src/webhooks/signature.ts'
import { now, secret, senderOf, signedRequest } from './signed-requests.ts'

const headerNames = [...presets.values()].flatMap((definition) => {
  const of =
    definition.kind === 'token'
      ? [definition.token.headers]
      : [definition.signature.headers, definition.timestamp?.headers]
  return [...of, definition.id?.headers, definition.eventType?.headers].flatMap((names) => names ?? [])
})
const hex = fc.stringMatching(/^[0-9a-f]{64}$/)
const headerValue = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.nat().map(String),
  hex,
  hex.map((text) => `sha256=${text}`),
  fc.tuple(fc.nat(), hex).map(([time, text]) => `t=${time},v1=${text}`),
  fc.tuple(fc.nat(), hex).map(([time, text]) => `ts=${time};h1=${text}`),
  fc.uint8Array({ minLength: 32, maxLength: 80 }).map((bytes) => Buffer.from(bytes).toString('base64')),
  fc.uint8Array({ minLength: 32, maxLength: 64 }).map((bytes) => `v1,${Buffer.from(bytes).toString('base64')}`),
  fc.array(fc.string(), { maxLength: 3 })
)
const anyHeaders = fc.dictionary(
  fc.oneof(fc.constantFrom(...headerNames, 'content-type', '__proto__'), fc.string()),
  headerValue,
  { maxKeys: 12 }
)
const anyBody = fc.oneof(
  fc.uint8Array({ maxLength: 500 }),
  fc.json().map((text) => Buffer.from(text))
)

t.test('no headers and no body make an unsigned request verify, or anything throw', async () => {
  const senders = [...presets].map(([name, definition]) => ({ name, sender: senderOf(name, definition) }))
  const anyUrl = fc.option(fc.oneof(fc.webUrl({ withQueryParameters: true }), fc.string()), { nil: undefined })
  fc.assert(
    fc.property(
      fc.constantFrom(...senders),
      anyHeaders,
      anyBody,
      anyUrl,
      ({ name, sender }, headers, body, address) => {
        const verdict = verifyWebhook(name, {
          secrets: [sender.secret, 'another'],
          method: 'POST',
          url: address,
          headers,
          body,
          now
        })
        const query = Object.fromEntries(Object.entries(headers))
        const handshake = { query, headers, body, verified: true, verifyToken: 'right' }
        for (const method of ['GET', 'POST', 'OPTIONS']) answerHandshake(name, { method, ...handshake })
        return verdict.ok === false
      }
    ),
    { numRuns: 5_000 }
  )
})

t.test('no change of one byte of the body or of the signature leaves a delivery valid', async () => {
  const request = signedRequest('github', { signing: secret, secret })
  const header = 'x-hub-signature-256'
  const value = String(request.headers[header])
  fc.assert(
    fc.property(
      fc.nat(request.body.length - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.nat(value.length - 1),
      (at, flip, inValue) => {
        const body = Buffer.from(request.body)
        body[at] = (body[at] ?? 0) ^ flip
        const changed =
          value.slice(0, inValue) + String.fromCharCode(value.charCodeAt(inValue) ^ flip) + value.slice(inValue + 1)
        const headers = { ...request.headers, [header]: changed }
        return !verifyWebhook('github', { ...request, body }).ok && !verifyWebhook('github', { ...request, headers }).ok
      }
    ),
    { numRuns: 1_000 }
  )
})
