import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { presets } from '../../src/webhooks/presets.ts'
import { signWebhook } from '../../src/webhooks/sign.ts'
import { gateway, post } from './gateway.ts'
import { secret, senderOf } from './signed-requests.ts'

const named = [...presets].map(([name, definition]) => ({ name, definition }))
const sources = Object.fromEntries(named.map(({ name }) => [name, { preset: name }]))
const env = Object.fromEntries([
  ['PUBLIC_URL', 'https://gateway.example'],
  ...named.map(({ name, definition }) => [
    `WEBHOOK_SECRET_${name.toUpperCase().replaceAll('-', '_')}`,
    senderOf(name, definition).secret
  ])
])
const g = await gateway(t, { sources }, env)
const headerNames = named.flatMap(({ definition }) =>
  [
    ...(definition.kind === 'token'
      ? [definition.token.headers]
      : [definition.signature.headers, definition.timestamp?.headers]),
    definition.id?.headers,
    definition.eventType?.headers
  ].flatMap((names) => names ?? [])
)
const hex = fc.stringMatching(/^[0-9a-f]{64}$/)
const latin1 = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)) })
const headerValue = fc.oneof(
  latin1,
  hex,
  hex.map((text) => `sha256=${text}`),
  fc.nat().map(String),
  fc.tuple(fc.nat(), hex).map(([time, text]) => `t=${time},v1=${text}`),
  fc.array(latin1, { minLength: 1, maxLength: 3 })
)
const anyHeaders = fc.dictionary(
  fc.oneof(
    fc.constantFrom(...headerNames, 'content-type', 'content-encoding', 'expect', '__proto__', 'x-request-id'),
    fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/).filter((name) => name !== 'content-length' && name !== 'host')
  ),
  headerValue,
  { maxKeys: 10 }
)
const anyBody = fc.oneof(
  fc.uint8Array({ maxLength: 400 }),
  fc.json().map((text) => Buffer.from(text))
)
const anySearch = fc.oneof(
  fc.constant(''),
  fc.webQueryParameters().map((text) => `?${text}`),
  fc.constantFrom('?validationToken=%', '?token=', '?hub.mode=subscribe&hub.mode=x', '?%zz=%ff&__proto__=1')
)

async function storedAnywhere(): Promise<number> {
  const lengths = await Promise.all(named.map(({ name }) => g.redis.xlen(`${g.prefix}webhooks:${name}:event`)))
  return lengths.reduce((sum, length) => sum + length, 0)
}

t.test('no headers and no body make the gateway fail, or store what nobody signed', async (t) => {
  const methods = fc.constantFrom('POST', 'POST', 'GET', 'OPTIONS', 'PUT')
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...named),
      methods,
      anyHeaders,
      anyBody,
      anySearch,
      async ({ name }, method, headers, body, search) => {
        const answer = await g.app.inject({
          method: method as 'POST',
          url: `/webhooks/${name}${search}`,
          headers,
          payload: Buffer.from(body)
        })
        return answer.statusCode < 500
      }
    ),
    { numRuns: 1_000 }
  )
  t.equal(await storedAnywhere(), 0)
})

t.test('whatever a sender puts into a delivery that it signs is stored, byte for byte', async (t) => {
  const before = (await g.stored('token')).length
  let sent = 0
  await fc.assert(
    fc.asyncProperty(anyHeaders, anyBody, fc.uuid(), async (headers, body, mark) => {
      const payload = Buffer.concat([Buffer.from(mark), body])
      const answer = await post(
        g,
        'token',
        { ...headers, 'content-type': 'application/json', 'x-webhook-token': secret },
        payload
      )
      sent += 1
      const event = (await g.stored('token')).at(-1)
      const stored = event?.data === undefined ? Buffer.from(event?.data_base64 ?? '', 'base64') : event.data
      return answer.statusCode === 200 && payload.equals(Buffer.from(stored))
    }),
    { numRuns: 60 }
  )
  t.ok((await g.stored('token')).length - before <= sent)
})

t.test('ten thousand signatures are refused at once, in one header or in as many', async (t) => {
  const body = Buffer.from('{}')
  const good = String(signWebhook('stripe', { secret, body, now: Date.now() })['stripe-signature'])
  const candidate = good.slice(good.indexOf('v1='))
  const many = { 'stripe-signature': [good, ...Array(10_000).fill(candidate)].join(',') }
  const repeated = { 'stripe-signature': Array(10_000).fill(good) }
  for (const headers of [many, repeated]) {
    const before = process.cpuUsage()
    t.equal((await post(g, 'stripe', headers, body)).statusCode, 401)
    const { user, system } = process.cpuUsage(before)
    t.ok(user + system < 200_000, `${user + system} µs of CPU`)
  }
  await g.app.listen()
  const { port } = g.app.server.address() as AddressInfo
  const status = await new Promise((resolve, reject) => {
    request({ port, method: 'POST', path: '/webhooks/stripe', headers: many }, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    })
      .on('error', reject)
      .end(body)
  })
  t.equal(status, 431, 'on the wire Node stops reading after 16 KiB of headers')
})
