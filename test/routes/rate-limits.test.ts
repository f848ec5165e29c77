import t from 'tap'
import { networkOf } from '../../src/plugins/rate-limits.ts'
import { createTokenBuckets } from '../../src/plugins/token-buckets.ts'
import { as, testApp } from '../fixtures/app.ts'

t.test('a bucket holds one second of tokens and is refilled as time passes', async (t) => {
  const buckets = createTokenBuckets(2)
  const taken = (name: string, perSecond: number, now: number) => buckets.take(name, perSecond, now)
  t.same(
    [1, 2, 3].map(() => taken('a', 2, 0)),
    [0, 0, 0.5]
  )
  t.same(
    [500, 500, 9_000, 9_000, 9_000].map((now) => taken('a', 2, now)),
    [0, 0.5, 0, 0, 0.5]
  )
  t.same(
    [0, 0, 9_999, 10_000].map((now) => Math.round(taken('b', 0.1, now))),
    [0, 10, 0, 0]
  )
  taken('c', 1, 10_000)
  t.equal(taken('a', 2, 10_000), 0, 'a was forgotten and starts anew')
})

t.test('an IPv6 customer is one address, however it is spelled', async (t) => {
  t.equal(networkOf('10.0.0.1'), '10.0.0.1')
  t.equal(networkOf('::ffff:10.0.0.1'), '10.0.0.1')
  for (const address of ['2001:db8:1:2::1', '2001:db8:1:2:3:4:5:6']) t.equal(networkOf(address), '2001:db8:1:2')
  t.equal(networkOf('2001:db8::17'), '2001:db8:0:0')
  t.equal(networkOf('::1'), '0:0:0:0')
})

t.test('a key over its rate is answered 429 with when to come back, and other keys are not', async (t) => {
  const keys = [
    { name: 'slow', scopes: ['publish', 'observe'], ratePerSecond: 0.5 },
    { name: 'other', scopes: ['publish'] }
  ]
  const { app } = await testApp(t, { keys })
  const get = (name: string, url = '/types') => app.inject({ url, headers: as(name) })
  t.equal((await get('slow')).statusCode, 200)
  for (const url of ['/types', '/admin/lag']) {
    const refused = await get('slow', url)
    t.equal(refused.statusCode, 429)
    t.match(refused.json(), { code: 'rate-limited', detail: /key 'slow' may make 0.5 requests per second/ })
    t.match(refused.headers['retry-after'], /^[12]$/)
  }
  for (let i = 0; i < 5; i += 1) t.equal((await get('other')).statusCode, 200)
})

t.test('an address over its rate is refused before its key is looked at; probes are answered', async (t) => {
  const { app } = await testApp(t, { RATE_LIMIT_PER_ADDRESS: 3, TRUST_PROXY: '1' })
  const get = (url: string, address: string) =>
    app.inject({ url, headers: { ...as('stranger'), 'x-forwarded-for': address } })
  const statuses = []
  for (let i = 0; i < 5; i += 1) statuses.push((await get('/types', '10.0.0.1')).statusCode)
  t.same(statuses, [401, 401, 401, 429, 429])
  t.equal((await get('/nowhere', '10.0.0.1')).statusCode, 429)
  t.equal((await get('/types', '10.0.0.2')).statusCode, 401)
  for (const url of ['/livez', '/readyz']) t.equal((await get(url, '10.0.0.1')).statusCode, 200)
})
