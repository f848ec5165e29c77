import { createHash } from 'node:crypto'
import { sign as octokitSign, verify as octokitVerify } from '@octokit/webhooks-methods'
import { Webhook } from 'standardwebhooks'
import Stripe from 'stripe'
import t from 'tap'
import twilio from 'twilio'
import { signWebhook } from '../../src/webhooks/sign.ts'
import { verifyWebhook } from '../../src/webhooks/signature.ts'

const now = Math.floor(Date.now() / 1_000) * 1_000
const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const bodies = [
  '{}',
  '{"id":"evt_1","type":"a.b"}',
  '{\n  "note": "déjà vu ✓ \\u00e9"\n}\n',
  `{"long":"${'x'.repeat(70_000)}"}`
]

t.test('what stripe signs verifies here, and what is signed here verifies there', async (t) => {
  const { webhooks } = new Stripe('sk_test_none')
  for (const payload of bodies) {
    const body = Buffer.from(payload)
    const header = webhooks.generateTestHeaderString({ payload, secret, timestamp: now / 1_000 })
    const request = { secrets: [secret], method: 'POST', body, now }
    t.match(verifyWebhook('stripe', { ...request, headers: { 'stripe-signature': header } }), {
      ok: true,
      timestamp: now
    })
    t.match(verifyWebhook('stripe', { ...request, now: now + 301_000, headers: { 'stripe-signature': header } }), {
      ok: false
    })
    const ours = signWebhook('stripe', { secret, body, now })['stripe-signature'] ?? ''
    t.ok(webhooks.constructEvent(body, ours, secret))
    t.equal(ours.split(',v0=')[0], header.split(',v0=')[0])
  }
})

t.test('what standardwebhooks signs verifies here, and what is signed here verifies there', async (t) => {
  const webhook = new Webhook(secret)
  for (const payload of bodies) {
    const body = Buffer.from(payload)
    const headers = {
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(now / 1_000),
      'webhook-signature': webhook.sign('msg_1', new Date(now), payload)
    }
    t.match(verifyWebhook('standard-webhooks', { secrets: [secret], method: 'POST', headers, body, now }), {
      ok: true,
      id: 'msg_1'
    })
    t.ok(webhook.verify(payload, signWebhook('standard-webhooks', { secret, body, now, id: 'msg_1' })))
  }
})

t.test('what octokit signs verifies here, and what is signed here verifies there', async (t) => {
  for (const payload of bodies) {
    const body = Buffer.from(payload)
    const headers = {
      'x-hub-signature-256': await octokitSign(secret, payload),
      'x-github-delivery': 'd1',
      'x-github-event': 'push'
    }
    t.match(verifyWebhook('github', { secrets: ['other', secret], method: 'POST', headers, body, now }), {
      ok: true,
      id: 'd1',
      type: 'push'
    })
    const ours = signWebhook('github', { secret, body, now })['x-hub-signature-256'] ?? ''
    t.equal(await octokitVerify(secret, payload, ours), true)
  }
})

t.test('what twilio signs verifies here, and what is signed here verifies there', async (t) => {
  const url = 'https://gateway.example/webhooks/twilio?foo=1&bar=2'
  const parameters: Record<string, string | string[]>[] = [
    { To: '+18005551212', From: '+14158675309', Body: 'déjà vu & more = ✓' },
    { b: '2', a: '1', B: '3', empty: '', list: ['z', 'a', 'z'] }
  ]
  for (const form of parameters) {
    const pairs = Object.entries(form).flatMap(([name, value]) =>
      [value].flat().map((item): [string, string] => [name, item])
    )
    const body = Buffer.from(new URLSearchParams(pairs).toString())
    const contentType = 'application/x-www-form-urlencoded'
    for (const signed of [url, url.replace('.example', '.example:443')]) {
      const headers = {
        'content-type': contentType,
        'x-twilio-signature': twilio.getExpectedTwilioSignature(secret, signed, form)
      }
      t.match(verifyWebhook('twilio', { secrets: [secret], method: 'POST', url, headers, body, now }), { ok: true })
    }
    const ours = signWebhook('twilio', { secret, url, body, contentType, now })['x-twilio-signature'] ?? ''
    t.equal(twilio.validateRequest(secret, ours, url, form), true)
  }
  const body = Buffer.from(bodies[2] ?? '')
  const bound = `${url}&bodySHA256=${createHash('sha256').update(body).digest('hex')}`
  const ours = signWebhook('twilio', { secret, url: bound, body, now })['x-twilio-signature'] ?? ''
  t.equal(twilio.validateRequestWithBody(secret, ours, bound, body.toString()), true)
})
