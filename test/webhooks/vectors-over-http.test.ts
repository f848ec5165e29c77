import t from 'tap'
import { presetOf, refusedPresets } from '../../src/webhooks/presets.ts'
import type { SourceOptions } from '../../src/webhooks/source-definition.ts'
import { gateway } from './gateway.ts'
import { handshakes, type Vector, vectors } from './vector-cases.ts'

/**
 * The clock of a running gateway is real, and its address its own: what depends on either is shown by the engine.
 * Discord's PING is among the handshakes.
 */
const reachable = vectors.filter(
  ({ id, provider, url, reason }) =>
    !refusedPresets.has(provider) &&
    url === undefined &&
    reason !== 'timestamp_out_of_tolerance' &&
    id !== 'discord-01-ping'
)
const sources: Record<string, SourceOptions> = {}
const env: Record<string, string> = {}

/** A source for each set of secrets: one more secret could turn a vector's verdict. */
function sourceOf(
  { provider, secrets }: Pick<Vector, 'provider' | 'secrets'>,
  options: Partial<SourceOptions>
): string {
  const name = `${provider}-${Object.keys(sources).length}`
  sources[name] = { preset: provider, ...options }
  env[`WEBHOOK_SECRET_${name.toUpperCase().replaceAll('-', '_')}`] = secrets.join(',')
  return name
}

const deliveries = reachable.map((vector) => {
  const preset = presetOf(vector.provider)
  const isTimed = preset?.kind !== 'token' && preset?.timestamp !== undefined
  return { vector, source: sourceOf(vector, isTimed ? { toleranceSeconds: null } : {}) }
})
const questions = handshakes.map((vector) => {
  const { secrets, publicKey, clientState, allowedOrigins, verifyToken } = vector.config
  const source = sourceOf(
    { provider: vector.provider, secrets: secrets ?? [publicKey ?? clientState ?? 'in-the-url'] },
    vector.provider === 'cloudevents' ? { allowedOrigins } : {}
  )
  if (verifyToken !== undefined) env[`WEBHOOK_VERIFY_TOKEN_${source.toUpperCase().replaceAll('-', '_')}`] = verifyToken
  return { vector, source }
})
const g = await gateway(t, { sources }, env)

t.test('vectors posted to the gateway get their verdict, and the stored event the id and type', async (t) => {
  t.ok(deliveries.length > 50, `${deliveries.length} vectors`)
  for (const { vector, source } of deliveries) {
    const { headers, body, expected, extract, id } = vector
    const payload = Buffer.from(body.value, body.encoding)
    const answer = await g.app.inject({ method: 'POST', url: `/webhooks/${source}`, headers, payload })
    const [event, ...others] = await g.stored(source)
    t.equal(answer.statusCode, expected === 'valid' ? 200 : 401, `${id}: ${vector.title}`)
    t.equal(others.length, 0)
    t.equal(event !== undefined, expected === 'valid', `${id}: stored or not`)
    if (event === undefined) continue
    const stored = event.data ?? Buffer.from(event.data_base64 ?? '', 'base64').toString('latin1')
    t.equal(stored, event.data === undefined ? payload.toString('latin1') : payload.toString(), `${id}: bytes`)
    const type = extract?.eventType?.replace(/[^A-Za-z0-9._:/-]+/g, '_')
    if (type !== undefined) t.equal(event.type, `${source}.${type}`, `${id}: type`)
    const isBatch = presetOf(vector.provider)?.id?.firstOfBatch
    if (extract?.deliveryId !== undefined && !isBatch) t.equal(event.id, extract.deliveryId, `${id}: id`)
    else t.match(event.id, /^[0-9a-f]{64}$/, `${id}: id`)
  }
})

t.test('handshakes over HTTP are answered as their senders expect, and store nothing', async (t) => {
  for (const { vector, source } of questions) {
    const { request, expected, id, provider } = vector
    const search = request.target.includes('?') ? request.target.slice(request.target.indexOf('?')) : ''
    const token = provider === 'eventgrid' ? '?token=in-the-url' : ''
    const answer = await g.app.inject({
      method: request.method as 'GET' | 'POST' | 'OPTIONS',
      url: `/webhooks/${source}${search}${token}`,
      headers: request.headers,
      payload: request.body
    })
    if (expected.status !== undefined) t.equal(answer.statusCode, expected.status, id)
    if (expected.statusIn !== undefined) t.ok(expected.statusIn.includes(answer.statusCode), id)
    if (expected.body !== undefined) t.equal(answer.payload, expected.body, id)
    if (expected.bodyJson !== undefined) t.same(answer.json(), expected.bodyJson, id)
    if (expected.contentTypePrefix !== undefined)
      t.ok(String(answer.headers['content-type']).startsWith(expected.contentTypePrefix), id)
    for (const name of expected.absentHeaders ?? []) t.equal(answer.headers[name], undefined, `${id}: ${name}`)
    t.equal(answer.headers['x-content-type-options'], 'nosniff')
    // A request with several events is one delivery and one entry.
    t.equal((await g.stored(source)).length, Math.min(expected.enqueued, 1), `${id}: stored or not`)
  }
})

t.test('Microsoft Graph is told its token before it sends anything', async (t) => {
  const graph = await gateway(t, { sources: { graph: { preset: 'msgraph' } } }, { WEBHOOK_SECRET_GRAPH: 'state' })
  const answer = await graph.app.inject({
    method: 'POST',
    url: '/webhooks/graph?validationToken=Validation%3A+Testing%3Cb%3E',
    headers: { 'content-type': 'text/plain; charset=utf-8' }
  })
  t.equal(answer.statusCode, 200)
  t.equal(answer.payload, 'Validation: Testing<b>')
  t.equal(answer.headers['content-type'], 'text/plain; charset=utf-8')
  t.equal((await graph.stored('graph')).length, 0)
})
