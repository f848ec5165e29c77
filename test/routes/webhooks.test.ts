import t from 'tap'
import { signWebhook } from '../../src/webhooks/sign.ts'
import { gateway, post } from '../webhooks/gateway.ts'

const secret = 'a-secret-of-the-test'
const sources = {
  github: { preset: 'github', keepHeaders: ['X-GitHub-Hook-ID', 'x-not-sent'] },
  stripe: { preset: 'stripe' },
  token: { preset: 'token' },
  small: { preset: 'token', bodyLimitBytes: 10 },
  slow: { preset: 'cloudevents', ratePerSecond: 1 },
  meta: { preset: 'meta' },
  later: { preset: 'github' }
}
const env = Object.fromEntries(
  Object.keys(sources).flatMap((name) =>
    name === 'later' ? [] : [[`WEBHOOK_SECRET_${name.toUpperCase()}`, `former,${secret}`]]
  )
)
const github = (body: string, id = 'd1', at: { secret?: string } = {}) =>
  signWebhook('github', { secret: at.secret ?? secret, body: Buffer.from(body), now: Date.now(), id, type: 'push' })

t.test('a delivery is stored as it came, and answered the same way when it comes again', async (t) => {
  const g = await gateway(t, { sources }, env)
  const body = '{ "n": 12345678901234567890,"text":"\\u00e9 é",\n"repository":{"full_name":"o/r"} }'
  const headers = { ...github(body), 'content-type': 'application/json; charset=utf-8', 'x-github-hook-id': '77' }
  const first = await post(g, 'github', headers, body)
  t.equal(first.statusCode, 200)
  t.match(first.json(), { id: 'd1', duplicate: false })
  const again = await post(g, 'github', { ...headers, 'x-request-id': 'other' }, body)
  t.equal(again.statusCode, 200)
  t.same(again.json(), { ...first.json(), duplicate: true })
  const [event, ...others] = await g.stored('github')
  t.equal(others.length, 0)
  t.match(event?.time, /^\d{4}-\d\d-\d\dT/)
  t.same(
    { ...event, time: '' },
    {
      id: 'd1',
      source: '/webhooks/github',
      type: 'github.push',
      time: '',
      subject: 'o/r',
      datacontenttype: 'application/json; charset=utf-8',
      data: body,
      extensions: { httpheaders: '{"x-github-hook-id":"77"}' }
    }
  )
})

t.test('what is not JSON is stored byte for byte too, and what has no id is known by its body', async (t) => {
  const g = await gateway(t, { sources }, env)
  const bodies: [string | undefined, Buffer][] = [
    ['application/x-www-form-urlencoded', Buffer.from('a=1&b=%20')],
    ['application/json', Buffer.from('{"broken":')],
    ['application/json', Buffer.from([0x22, 0xff, 0x22])],
    [undefined, Buffer.from([0, 1, 2])],
    ['text/plain', Buffer.from('12')]
  ]
  for (const [type, body] of bodies) {
    const headers = { 'x-webhook-token': secret, ...(type === undefined ? {} : { 'content-type': type }) }
    const answers = [await post(g, 'token', headers, body), await post(g, 'token', headers, body)]
    t.same(
      answers.map((answer) => answer.json().duplicate),
      [false, true]
    )
    t.match(answers[0]?.json().id, /^[0-9a-f]{64}$/)
  }
  const empty = await post(g, 'token', { 'x-webhook-token': secret }, '')
  t.equal(empty.statusCode, 200)
  t.same(
    (await g.stored('token')).map((event) => [event.type, event.datacontenttype, event.data, event.data_base64]),
    [
      ...bodies.map(([type, body]) => ['token.event', type, undefined, body.toString('base64')]),
      ['token.event', undefined, undefined, undefined]
    ]
  )
})

t.test('a delivery captured and sent again under a fresh id, which GitHub does not sign, is a duplicate', async (t) => {
  const g = await gateway(t, { sources }, env)
  await post(g, 'github', github('{}', 'd1'), '{}')
  t.match((await post(g, 'github', github('{}', 'd2'), '{}')).json(), { duplicate: true })
  t.match((await post(g, 'github', github('{"a":1}', 'd1'), '{"a":1}')).json(), { duplicate: true }, 'or its id')
  t.equal((await g.stored('github')).length, 1)
})

t.test('a stale delivery is refused, and one inside the window is a duplicate, whatever its payload', async (t) => {
  const g = await gateway(t, { sources }, env)
  const send = (text: string, ageSeconds: number) => {
    const body = Buffer.from(text)
    return post(g, 'stripe', signWebhook('stripe', { secret, body, now: Date.now() - ageSeconds * 1_000 }), body)
  }
  t.equal((await send('{"id":"evt_1","type":"a.b"}', 310)).statusCode, 401)
  t.match(g.logged(), /"reason":"timestamp-out-of-tolerance"/)
  t.same((await send('{"id":"evt_1","type":"a.b"}', 290)).json().duplicate, false)
  t.same((await send('{"id":"evt_1","type":"a.b"}', 290)).json().duplicate, true)
  t.same((await send('{"id":"evt_1","type":"a.c"}', 0)).json().duplicate, true)
  t.equal((await send('{"id":"evt_1","type":"a.b"}', 310)).statusCode, 401)
  t.match(await g.stored('stripe'), [{ id: 'evt_1', type: 'stripe.a.b' }])
})

t.test('every refusal is the same 401, and no secret, token or payload is logged or answered', async (t) => {
  const g = await gateway(t, { sources }, env)
  const body = '{"card":"4242424242424242"}'
  const good = github(body)
  const answers = [
    await post(g, 'github', {}, body),
    await post(g, 'github', github(body, 'd1', { secret: 'wrong' }), body),
    await post(
      g,
      'github',
      { ...good, 'x-hub-signature-256': ['sha256=00', String(good['x-hub-signature-256'])] },
      body
    ),
    await post(g, 'github', good, `${body} `),
    await post(g, 'token', {}, body, '?token=near-secret-one'),
    await post(g, 'token', { 'content-type': 'no media type' }, body, `?token=${secret}`),
    await post(g, 'meta', {}, body)
  ]
  const bodies = answers
    .filter(({ statusCode }) => statusCode === 401)
    .map(({ payload }) => payload.replace(/"instance":"[^"]+"/, ''))
  t.same(
    answers.map(({ statusCode }) => statusCode),
    [401, 401, 401, 401, 401, 415, 401]
  )
  t.equal(new Set(bodies).size, 1)
  t.equal((await post(g, 'token', {}, body, `?token=${secret}`)).statusCode, 200)
  for (const reason of ['missing-header', 'bad-signature', 'repeated-header'])
    t.match(g.logged(), `"reason":"${reason}"`)
  const told = g.logged() + answers.map(({ payload, headers }) => payload + JSON.stringify(headers)).join()
  for (const hidden of [secret, 'near-secret-one', '4242']) t.notOk(told.includes(hidden), hidden)
  t.equal((await g.stored('github')).length, 0)
})

t.test('an unknown source is 404, one without a secret 503 to try again, and readyz names it', async (t) => {
  const g = await gateway(t, { sources }, env)
  const unknown = await post(g, 'nobody', {}, '{}')
  t.equal(unknown.statusCode, 404)
  t.equal(unknown.json().code, 'source-not-found')
  const later = await post(g, 'later', github('{}'), '{}')
  t.equal(later.statusCode, 503)
  t.equal(later.json().code, 'source-not-configured')
  t.ok(Number(later.headers['retry-after']) >= 60)
  const ready = await g.app.inject('/readyz')
  t.equal(ready.statusCode, 200)
  t.same(ready.json(), { status: 'degraded', parts: { redis: 'ok', queue: 'ok', 'source:later': 'not-configured' } })
})

t.test('a path takes POST, and what its handshake needs, and says so', async (t) => {
  const g = await gateway(t, { sources }, env)
  for (const [source, allow, methods] of [
    ['github', 'POST', ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']],
    ['meta', 'GET, POST', ['HEAD', 'PUT', 'OPTIONS']]
  ] as const) {
    for (const method of methods) {
      const answer = await g.app.inject({ method, url: `/webhooks/${source}` })
      t.equal(answer.statusCode, 405, `${method} ${source}`)
      t.equal(answer.headers.allow, allow)
    }
  }
  t.equal((await g.app.inject('/webhooks/nobody')).statusCode, 404)
  const signed = { method: 'GET', url: '/webhooks/meta', headers: github('') } as const
  t.equal((await g.app.inject(signed)).statusCode, 405, 'not even a verified GET is stored')
  t.equal((await g.stored('meta')).length, 0)
})

t.test('a source has its own body limit', async (t) => {
  const g = await gateway(t, { sources }, env)
  const headers = { 'x-webhook-token': secret }
  t.equal((await post(g, 'small', headers, '0123456789')).statusCode, 200)
  t.equal((await post(g, 'small', headers, '0123456789a')).statusCode, 413)
  t.equal((await post(g, 'token', headers, '0123456789a')).statusCode, 200)
})

t.test('a source has its own rate, which forged deliveries do not use up', async (t) => {
  const g = await gateway(t, { sources }, env)
  const headers = { authorization: `Bearer ${secret}` }
  for (let n = 0; n < 5; n += 1) t.equal((await post(g, 'slow', {}, String(n))).statusCode, 401)
  const answers = [await post(g, 'slow', headers, '1'), await post(g, 'slow', headers, '2')]
  t.same(
    answers.map(({ statusCode }) => statusCode),
    [200, 429]
  )
  t.match(answers[1]?.headers['retry-after'], /^[1-9]/)
  t.equal((await post(g, 'token', { 'x-webhook-token': secret }, '1')).statusCode, 200, 'others are not slowed')
  const ask = { 'webhook-request-origin': 'events.example.com', 'webhook-request-rate': '120' }
  const agreed = await g.app.inject({ method: 'OPTIONS', url: '/webhooks/slow', headers: ask })
  t.match(agreed.headers, { 'webhook-allowed-origin': 'events.example.com', 'webhook-allowed-rate': '60' })
})

t.test('while the store is away senders get 503 with Retry-After, and their next try is stored', async (t) => {
  const g = await gateway(t, { sources }, env)
  await g.server.stop()
  const away = await post(g, 'github', github('{}'), '{}')
  t.equal(away.statusCode, 503)
  t.match(away.headers['retry-after'], /^\d+$/)
  await g.server.start()
  let answer = away
  while (answer.statusCode === 503) answer = await post(g, 'github', github('{}'), '{}')
  t.equal(answer.statusCode, 200)
  t.equal((await g.stored('github')).length, 1)
})

t.test('an event type that is no type name is made one, and stays behind the name of its source', async (t) => {
  const g = await gateway(t, { sources }, env)
  for (const type of ['zen:event-type:ticket.created', 'a b\u0000ü"', 'x'.repeat(5_000)]) {
    const body = Buffer.from(JSON.stringify({ id: type.slice(0, 3), type }))
    const answer = await post(g, 'stripe', signWebhook('stripe', { secret, body, now: Date.now() }), body)
    t.equal(answer.statusCode, 200)
  }
  t.same(
    (await g.stored('stripe')).map(({ type }) => type),
    ['stripe.zen:event-type:ticket.created', 'stripe.a_b_', `stripe.${'x'.repeat(248)}`]
  )
})
