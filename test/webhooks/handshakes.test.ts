import t from 'tap'
import { answerHandshake, type HandshakeRequest } from '../../src/webhooks/handshakes.ts'

const ask = (preset: string, request: Partial<HandshakeRequest>) =>
  answerHandshake(preset, {
    method: 'POST',
    query: {},
    headers: {},
    body: Buffer.alloc(0),
    verified: false,
    ...request
  })
const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const meta = { 'hub.mode': 'subscribe', 'hub.challenge': '42', 'hub.verify_token': 'right' }

t.test('an echoed value is plain text that no browser may take for anything else', async (t) => {
  const answer = ask('msgraph', { query: { validationToken: '<script>alert(1)</script>' } })
  t.same(answer, {
    status: 200,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' },
    body: '<script>alert(1)</script>'
  })
})

t.test('nothing longer than 4 KiB is echoed, counted in bytes', async (t) => {
  const status = (validationToken: string) => ask('msgraph', { query: { validationToken } })?.status
  t.equal(status('x'.repeat(4_096)), 200)
  t.equal(status('x'.repeat(4_097)), 400)
  t.equal(status('ä'.repeat(2_049)), 400)
})

t.test('Meta is answered only with the configured token, and not at all when none is configured', async (t) => {
  const status = (verifyToken: string | undefined, query: HandshakeRequest['query'] = meta) =>
    ask('meta', { method: 'GET', query, verifyToken })?.status
  t.equal(status('right'), 200)
  t.equal(status('wrong'), 403)
  t.equal(status(undefined), 403)
  t.equal(status('', { ...meta, 'hub.verify_token': '' }), 403)
  t.equal(status('right', { ...meta, 'hub.verify_token': ['right', 'right'] }), 403)
  t.equal(status('right', {}), undefined, 'a GET without hub.mode is no handshake')
  t.equal(ask('meta', { method: 'POST', query: meta, verifyToken: 'right' }), undefined)
})

t.test('Slack and Discord are answered only once the signature was found good', async (t) => {
  const challenge = json({ type: 'url_verification', challenge: 'abc' })
  t.equal(ask('slack', { body: challenge }), undefined)
  t.equal(ask('slack', { body: challenge, verified: true })?.body, 'abc')
  t.equal(ask('discord', { body: json({ type: 1 }) }), undefined)
  t.equal(ask('discord', { body: json({ type: 1 }), verified: true })?.body, '{"type":1}')
  t.equal(ask('slack', { body: json({ type: 'event_callback' }), verified: true }), undefined)
})

t.test('an event of Discord is not taken for its PING, though both have type 1', async (t) => {
  t.equal(ask('discord', { body: json({ type: 1, event: { type: 'ENTITLEMENT_CREATE' } }), verified: true }), undefined)
  t.equal(ask('discord', { body: json({ type: 0 }), verified: true })?.status, 204)
})

t.test('Event Grid gets its validation code back as JSON with 200', async (t) => {
  const eventType = 'Microsoft.EventGrid.SubscriptionValidationEvent'
  const body = json([{ eventType, data: { validationCode: '512d38b6', validationUrl: 'https://example.com/never' } }])
  const answer = ask('eventgrid', { headers: { 'aeg-event-type': 'SubscriptionValidation' }, body })
  t.equal(answer?.status, 200)
  t.same(JSON.parse(answer?.body ?? ''), { validationResponse: '512d38b6' })
  t.equal(ask('eventgrid', { headers: { 'aeg-event-type': 'Notification' }, body }), undefined)
  t.equal(
    ask('eventgrid', { headers: { 'aeg-event-type': 'SubscriptionValidation' }, body: json([{ eventType }]) })?.status,
    400
  )
})

t.test('a CloudEvents sender learns that it may deliver, and at what rate if it asked', async (t) => {
  const options = (headers: HandshakeRequest['headers'], rest: Partial<HandshakeRequest> = {}) =>
    ask('cloudevents', { method: 'OPTIONS', headers, ...rest })?.headers
  const origin = { 'webhook-request-origin': 'Emitter.example.com' }
  t.match(options(origin), { 'webhook-allowed-origin': 'Emitter.example.com', allow: 'POST' })
  t.equal(options(origin)?.['webhook-allowed-rate'], undefined)
  t.match(options({ ...origin, 'webhook-request-rate': '120' }, { allowedRate: 60 }), { 'webhook-allowed-rate': '60' })
  t.match(options(origin, { allowedOrigins: ['emitter.example.com'] }), {
    'webhook-allowed-origin': 'Emitter.example.com'
  })
  t.equal(options({ 'webhook-request-origin': ['a.example', 'b.example'] })?.['webhook-allowed-origin'], undefined)
  t.equal(options({}), undefined, 'an OPTIONS request that asks nothing is no handshake')
})

t.test('a sender without a handshake is never answered', async (t) => {
  t.equal(ask('github', { method: 'GET', query: meta, verifyToken: 'right', verified: true }), undefined)
  t.equal(ask('no-such-sender', { verified: true }), undefined)
})
