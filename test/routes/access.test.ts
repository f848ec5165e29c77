import t from 'tap'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { as, keysJson, testApp, testTopology } from '../fixtures/app.ts'

const order = { type: 'orders.order.created', data: { orderId: 'o1', amount: 10 } }

const { app } = await testApp(t)

async function statusOf(url: string, who: string): Promise<number> {
  return (await app.inject({ url, headers: as(who) })).statusCode
}

t.test('admin includes read, read includes observe, and publish includes nothing else', async (t) => {
  const entry = '/admin/streams/users:user:events/entries/1-1'
  for (const [who, types, lag, read] of [
    ['publisher', 200, 403, 403],
    ['observer', 200, 200, 403],
    ['user-reader', 200, 200, 404],
    ['admin', 200, 200, 404]
  ] as const) {
    t.same(
      [await statusOf('/types', who), await statusOf('/admin/lag', who), await statusOf(entry, who)],
      [types, lag, read],
      who
    )
  }
})

t.test('a pattern limits a scope to its streams, and its star matches colons', async (t) => {
  t.equal(await statusOf('/admin/streams/orders:order:created/entries/1-1', 'user-reader'), 403)
  t.equal(await statusOf('/admin/streams/users%3Auser%3Aevents/entries/1-1', 'user-reader'), 404)
  t.equal(await statusOf('/admin/streams/users/entries/1-1', 'user-reader'), 403)
  const headers = { ...as('order-publisher'), 'content-type': 'application/json' }
  t.equal((await app.inject({ method: 'POST', url: '/events', payload: order, headers })).statusCode, 202)
})

t.test('HEAD needs what GET needs', async (t) => {
  t.equal((await app.inject({ method: 'HEAD', url: '/admin/lag' })).statusCode, 401)
  t.equal((await app.inject({ method: 'HEAD', url: '/admin/lag', headers: as('observer') })).statusCode, 200)
})

t.test('every route but the public ones answers 401 without a key', async (t) => {
  for (const url of ['/livez', '/readyz', '/openapi.json', '/problems'])
    t.equal((await app.inject(url)).statusCode, 200, url)
  for (const url of ['/types', '/admin/lag', '/admin/streams/x/entries', '/admin/streams/x/entries/1-1'])
    t.equal((await app.inject(url)).statusCode, 401, url)
  for (const url of ['/events', '/events/batch'])
    t.equal((await app.inject({ method: 'POST', url })).statusCode, 401, url)
})

t.test('a route that names neither a scope nor public cannot be registered', async (t) => {
  const config = loadConfig({
    REDIS_URL: 'redis://127.0.0.1:1',
    TOPOLOGY: 'given',
    LOG_LEVEL: 'silent',
    API_KEYS: keysJson([{ name: 'a', scopes: ['admin'] }])
  })
  const other = buildApp(config, { topology: testTopology, offline: true })
  t.teardown(() => other.close())
  other.register(async (scope) => {
    scope.get('/open', () => 'x')
  })
  await t.rejects(async () => other.ready(), { message: /GET \/open declares neither/ })
})

t.test('keys that cannot be used stop the start with a line for each fault', async (t) => {
  const bad = JSON.stringify([
    { name: 'a b', sha256: ['x'], scopes: ['publish'] },
    { name: 'c', sha256: ['0'.repeat(64)], scopes: ['write', 'observe:x'] },
    { name: 'c', sha256: ['0'.repeat(64)], scopes: ['read'] }
  ])
  const config = loadConfig({ REDIS_URL: 'redis://127.0.0.1:1', TOPOLOGY: 'given', LOG_LEVEL: 'silent', API_KEYS: bad })
  const other = buildApp(config, { topology: testTopology, offline: true })
  t.teardown(() => other.close())
  const error = (await other.ready().then(
    () => undefined,
    (caught: unknown) => caught
  )) as Error
  t.equal(error.message.split('\n').length, 5)
  t.match(error.message, /key 'c': 'observe:x' is not a scope/)
})
