import t from 'tap'
import { answerHandshake } from '../../src/webhooks/handshakes.ts'
import { presetOf, refusedPresets } from '../../src/webhooks/presets.ts'
import { checkPreset, checkSecret, verifyWebhook } from '../../src/webhooks/signature.ts'
import { type HandshakeVector, handshakes, lowerCase, type Vector, vectors } from './vector-cases.ts'

function verdictOf(vector: Vector) {
  return verifyWebhook(vector.provider, {
    secrets: vector.secrets,
    method: vector.method,
    url: vector.url,
    headers: lowerCase(vector.headers),
    body: Buffer.from(vector.body.value, vector.body.encoding),
    now: (vector.now ?? Number.NaN) * 1_000,
    toleranceSeconds: vector.toleranceSeconds
  })
}

t.test('every vector of a supported sender gets its verdict, reason, id and type', async (t) => {
  const supported = vectors.filter((vector) => !refusedPresets.has(vector.provider))
  t.ok(supported.length > 70, `${supported.length} vectors`)
  for (const vector of supported) {
    const verdict = verdictOf(vector)
    t.equal(verdict.ok ? 'ok' : verdict.reason, vector.reason.replaceAll('_', '-'), `${vector.id}: ${vector.title}`)
    t.equal(verdict.ok, vector.expected === 'valid', vector.id)
    if (!verdict.ok || vector.extract === undefined) continue
    t.equal(verdict.id, vector.extract.deliveryId, `${vector.id}: id`)
    t.equal(verdict.type, vector.extract.eventType, `${vector.id}: type`)
  }
})

t.test('the secrets of every valid vector pass the check at start', async (t) => {
  for (const vector of vectors) {
    if (vector.expected !== 'valid' || refusedPresets.has(vector.provider)) continue
    t.same(checkPreset(vector.provider), [], vector.provider)
    for (const secret of vector.secrets) t.same(checkSecret(vector.provider, secret), [], vector.id)
  }
})

t.test('a sender that is left out on purpose is refused by name with a reason, and never verifies', async (t) => {
  const refused = vectors.filter((vector) => refusedPresets.has(vector.provider))
  t.same(new Set(refused.map((vector) => vector.provider)), new Set(refusedPresets.keys()))
  for (const vector of refused) {
    t.match(checkPreset(vector.provider), [/is not supported: it .{20}/])
    t.equal(verdictOf(vector).ok, false, vector.id)
  }
})

/** The two vectors of senders that sign nothing name no secret in the request; Event Grid's is put into its URL. */
function delivered(vector: HandshakeVector) {
  const { request, config } = vector
  return verifyWebhook(vector.provider, {
    secrets: config.secrets ?? [config.publicKey ?? config.clientState ?? 'in-the-url'],
    method: request.method,
    url: `https://gateway.example${request.target}?token=in-the-url`,
    headers: lowerCase(request.headers),
    body: Buffer.from(request.body),
    now: (config.now ?? 0) * 1_000
  })
}

for (const vector of handshakes) {
  t.test(`handshake ${vector.id} is answered as its sender expects`, async (t) => {
    const { request, expected, config } = vector
    const query = Object.fromEntries(new URL(request.target, 'https://gateway.example').searchParams)
    const verdict = delivered(vector)
    const answer = answerHandshake(vector.provider, {
      method: request.method,
      query,
      headers: lowerCase(request.headers),
      body: Buffer.from(request.body),
      verifyToken: config.verifyToken,
      allowedOrigins: config.allowedOrigins,
      verified: verdict.ok
    })
    // Without an answer the request is a delivery: 401 when not verified, else stored and answered as the preset says.
    const accepted = presetOf(vector.provider)?.answer?.status ?? 200
    const status = answer?.status ?? (verdict.ok ? accepted : 401)
    if (expected.status !== undefined) t.equal(status, expected.status)
    if (expected.statusIn !== undefined) t.ok(expected.statusIn.includes(status), `status ${status}`)
    t.equal(answer === undefined && verdict.ok, expected.enqueued > 0, 'stored or not')
    if (expected.body !== undefined) t.equal(answer?.body, expected.body)
    if (expected.bodyJson !== undefined) t.same(JSON.parse(answer?.body ?? ''), expected.bodyJson)
    if (expected.contentTypePrefix !== undefined)
      t.match(answer?.headers['content-type'], new RegExp(`^${expected.contentTypePrefix}`))
    for (const name of expected.absentHeaders ?? []) t.equal(answer?.headers[name], undefined)
  })
}
