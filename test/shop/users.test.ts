import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import t from 'tap'
import { shop } from '../../src/shop/topology.ts'
import { createKeys } from '../../src/streams/keys.ts'
import { as, testApp } from '../fixtures/app.ts'
import { until } from '../fixtures/until.ts'

t.test('billing and analytics each read the user events; an older change does not undo a newer one', async (t) => {
  const { app, redis, prefix } = await testApp(t, { topology: shop({}) })
  const events = [
    { type: 'users.subscription.changed', data: { userId: 'u1', plan: 'pro', changedAt: '2026-11-02T00:00:00Z' } },
    {
      type: 'users.user.registered',
      data: { userId: 'u1', email: 'a@example.com', registeredAt: '2026-11-01T00:00:00Z' }
    },
    { type: 'users.user.logged_in', data: { userId: 'u1', loggedInAt: '2026-11-03T00:00:00Z' } },
    { type: 'users.user.logged_in', data: { userId: 'u1', loggedInAt: '2026-11-04T00:00:00Z' } }
  ].map((event) => ({ ...event, time: '2026-11-05T00:00:00Z' }))
  const response = await app.inject({ method: 'POST', url: '/events/batch', headers: as('publisher'), payload: events })
  t.equal(response.statusCode, 202)
  const keys = createKeys(prefix).of('users:user:events')
  for (const group of ['billing', 'analytics'])
    await until(async () => (await redis.hget(keys.group(group).counts, 'acked')) === '4', { what: group })
  t.match(await redis.hgetall(`${prefix}billing:account:u1`), { plan: 'pro', since: '2026-11-02T00:00:00Z' })
  t.equal(await redis.pfcount(`${prefix}analytics:users.user.logged_in:2026-11-05`), 2)
  t.equal(await redis.pfcount(`${prefix}analytics:users.user.registered:2026-11-05`), 1)
})

t.test('each notifier gets its type only: forwarded where a URL is set, else logged', async (t) => {
  const secret = `whsec_${Buffer.from('a secret of twenty-four bytes').toString('base64')}`
  const received: { type: string; data: object }[] = []
  const server = createServer(async (request, answer) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks).toString()
    received.push(
      new Webhook(secret).verify(body, request.headers as Record<string, string>) as (typeof received)[number]
    )
    answer.writeHead(202).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const topology = shop({ SMS_FORWARD_URL: `http://127.0.0.1:${port}/sms`, SMS_FORWARD_SECRET: secret })
  const { app, redis, prefix } = await testApp(t, { topology })
  const sms = { userId: 'u1', to: '+4915112345678', text: 'hi' }
  const events = [
    { type: 'users.notification.email', data: { userId: 'u1', to: 'a@example.com', subject: 'hi', text: 'hi' } },
    { type: 'users.notification.sms', data: sms },
    { type: 'users.notification.push', data: { userId: 'u1', deviceToken: 'd', title: 'hi', text: 'hi' } }
  ]
  const response = await app.inject({ method: 'POST', url: '/events/batch', headers: as('publisher'), payload: events })
  t.equal(response.statusCode, 202)
  const keys = createKeys(prefix).of('users:user:notifications')
  for (const channel of ['email', 'sms', 'push'])
    await until(async () => (await redis.hget(keys.group(`${channel}_notifier`).counts, 'acked')) === '3')
  t.match(received, [{ type: 'users.notification.sms', data: sms }])
  t.equal(received.length, 1)
})

t.test('a forward URL without a secret is refused', async (t) => {
  t.throws(() => shop({ PUSH_FORWARD_URL: 'http://127.0.0.1:1/' }), /PUSH_FORWARD_SECRET/)
})
