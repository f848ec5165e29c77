import t from 'tap'
import type { PresetDefinition } from '../../src/webhooks/preset-definition.ts'
import { presets } from '../../src/webhooks/presets.ts'
import { signWebhook } from '../../src/webhooks/sign.ts'
import { verifyWebhook } from '../../src/webhooks/signature.ts'
import { bodyAt, now, secret, senderOf, signedRequest, url } from './signed-requests.ts'

for (const [name, definition] of presets) {
  t.test(`a delivery signed as ${name} verifies, and no longer after any change to it`, async (t) => {
    const sender = senderOf(name, definition)
    const request = signedRequest(name, sender)
    t.match(verifyWebhook(name, request), { ok: true })
    t.match(
      verifyWebhook(name, {
        ...request,
        secrets: [senderOf('other', presets.get('discord') as PresetDefinition).secret, sender.secret]
      }),
      { ok: true },
      'second of two secrets'
    )
    t.match(verifyWebhook(name, { ...request, secrets: [] }), { ok: false, reason: 'no-usable-secret' })
    t.match(verifyWebhook(name, { ...request, secrets: ['', ` ${sender.secret}`] }), {
      ok: false,
      reason: 'no-usable-secret'
    })
    t.equal(
      verifyWebhook(name, { ...request, headers: {}, url: undefined, body: Buffer.from('{}') }).ok,
      false,
      'nothing sent'
    )
    if (definition.kind === 'token') return
    t.equal(
      verifyWebhook(name, { ...request, body: Buffer.concat([request.body, Buffer.from('x')]) }).ok,
      false,
      'longer body'
    )
    t.equal(
      verifyWebhook(name, { ...request, secrets: [senderOf(name, definition).secret.replace(/[a-z0-9]/g, '7')] }).ok,
      false,
      'other secret'
    )
    for (const header of definition.signature.headers) {
      const value = request.headers[header]
      if (typeof value !== 'string') continue
      const twice = { ...request.headers, [header]: [value, value] }
      t.match(verifyWebhook(name, { ...request, headers: twice }), { reason: 'repeated-header' })
      t.match(
        verifyWebhook(name, { ...request, headers: { ...request.headers, [header]: [value] } }),
        { ok: true },
        'a list of one'
      )
      t.equal(
        verifyWebhook(name, { ...request, headers: { ...request.headers, [header]: `${value}A` } }).ok,
        false,
        'one character more'
      )
    }
  })
}

t.test('a captured delivery that is replayed outside the window is refused, in both directions', async (t) => {
  const windowed = [...presets].filter(
    ([, definition]) => definition.kind !== 'token' && definition.timestamp?.tolerance
  )
  t.ok(windowed.length >= 8)
  for (const [name, definition] of windowed) {
    if (definition.kind === 'token') continue
    const window = (definition.timestamp?.tolerance ?? 0) * 1_000
    const request = signedRequest(name, senderOf(name, definition))
    for (const edge of [-window, window])
      t.match(verifyWebhook(name, { ...request, now: now + edge }), { ok: true, timestamp: now }, `${name} at the edge`)
    for (const past of [-window - 1, window + 1])
      t.match(
        verifyWebhook(name, { ...request, now: now + past }),
        { ok: false, reason: 'timestamp-out-of-tolerance' },
        name
      )
    t.match(
      verifyWebhook(name, { ...request, now: now + 86_400_000, toleranceSeconds: null }),
      { ok: true },
      'any age, when told so'
    )
    t.match(verifyWebhook(name, { ...request, now: Number.NaN }), { ok: false }, 'a broken clock')
  }
})

t.test('the window of a sender without one can be set', async (t) => {
  const sender = senderOf('discord', presets.get('discord') as PresetDefinition)
  const request = signedRequest('discord', sender, { now: now + 301_000 })
  t.match(verifyWebhook('discord', request), { ok: true })
  t.match(verifyWebhook('discord', { ...request, toleranceSeconds: 300 }), {
    ok: false,
    reason: 'timestamp-out-of-tolerance'
  })
})

t.test('ten thousand signatures are refused without being looked at', async (t) => {
  const good = String(signedRequest('stripe', { signing: secret, secret }).headers['stripe-signature'])
  const candidate = good.slice(good.indexOf('v1='))
  const of = (count: number) =>
    signedRequest(
      'stripe',
      { signing: secret, secret },
      { headers: { 'stripe-signature': [good, ...Array(count).fill(candidate)].join(',') } }
    )
  t.match(verifyWebhook('stripe', of(10_000)), { ok: false, reason: 'header-too-long' })
  t.match(verifyWebhook('stripe', of(31)), { ok: true })
  t.match(verifyWebhook('stripe', of(32)), { ok: false, reason: 'too-many-signatures' })
  const short = `t=1,${Array(2_000).fill('v1=').join(',')}`
  t.match(verifyWebhook('stripe', of(0)), { ok: true })
  t.match(verifyWebhook('stripe', { ...of(0), headers: { 'stripe-signature': short } }), {
    ok: false,
    reason: 'too-many-signatures'
  })
  t.match(verifyWebhook('stripe', { ...of(0), headers: { 'stripe-signature': Array(10_000).fill(good) } }), {
    ok: false,
    reason: 'repeated-header'
  })
})

t.test('the bytes are what counts: a body that means the same does not verify', async (t) => {
  const body = Buffer.from('{"id":9007199254740993,"note":"d\\u00e9j\\u00e0"}')
  const headers = signWebhook('github', { secret, body, now, id: 'd1', type: 'push' })
  const request = { secrets: [secret], method: 'POST', headers, now }
  t.same(verifyWebhook('github', { ...request, body }), { ok: true, id: 'd1', type: 'push', timestamp: undefined })
  t.equal(
    verifyWebhook('github', { ...request, body: Buffer.from(JSON.stringify(JSON.parse(body.toString()))) }).ok,
    false
  )
  const binary = Buffer.from([0xff, 0xfe, 0, 0x80])
  t.equal(
    verifyWebhook('github', { ...request, body: binary, headers: signWebhook('github', { secret, body: binary, now }) })
      .ok,
    true
  )
})

t.test('a number that lost digits is no delivery id', async (t) => {
  const id = (text: string) => {
    const body = Buffer.from(`{"id":${text}}`)
    const verdict = verifyWebhook('stripe', {
      secrets: [secret],
      method: 'POST',
      headers: signWebhook('stripe', { secret, body, now }),
      body,
      now
    })
    return verdict.ok ? verdict.id : verdict.reason
  }
  t.equal(id('9007199254740991'), '9007199254740991')
  t.equal(id('9007199254740993'), undefined)
  t.equal(id('1.5'), undefined)
  t.equal(id('{"a":1}'), undefined)
})

t.test('a scheme that signs the URL needs it, with what HubSpot unescapes', async (t) => {
  t.match(verifyWebhook('square', { ...signedRequest('square', { signing: secret, secret }), url: undefined }), {
    reason: 'missing-url'
  })
  const body = bodyAt(now)
  const headers = signWebhook('hubspot', { secret, url: `${url}?at=10:00/a%20b`, body, now })
  const request = { secrets: [secret], method: 'POST', headers, body, now }
  t.match(verifyWebhook('hubspot', { ...request, url: `${url}?at=10%3A00%2fa%20b` }), { ok: true })
})

t.test('Twilio may sign the URL with or without its default port, and binds a JSON body by its hash', async (t) => {
  const body = Buffer.from('To=1')
  const contentType = 'application/x-www-form-urlencoded'
  const headersFor = (signed: string) => signWebhook('twilio', { secret, url: signed, body, contentType, now })
  const verifies = (signed: string, configured: string) =>
    verifyWebhook('twilio', {
      secrets: [secret],
      method: 'POST',
      url: configured,
      headers: headersFor(signed),
      body,
      now
    }).ok
  t.equal(verifies('https://a.example:443/x?y=1', 'https://a.example/x?y=1'), true)
  t.equal(verifies('https://a.example/x', 'https://a.example:8443/x'), true)
  t.equal(verifies('https://a.example/x', 'https://b.example/x'), false)
  t.throws(() => signWebhook('twilio', { secret, url, body: Buffer.from('{}'), now }), 'a JSON body that no hash binds')
})
