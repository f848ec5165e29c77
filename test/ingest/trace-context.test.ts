import t from 'tap'
import { traceContextFrom } from '../../src/ingest/trace-context.ts'
import { as, testApp } from '../fixtures/app.ts'

const ids = '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331'
const parent = `00-${ids}-01`
const traceparentFrom = (traceparent: string) => traceContextFrom({ traceparent })?.traceparent

t.test('a traceparent is taken if it is valid, and a later version in what it shares with version 00', async (t) => {
  t.equal(traceparentFrom(parent), parent)
  t.equal(traceparentFrom(`00-${ids}-00`), `00-${ids}-00`)
  t.equal(traceparentFrom(`cc-${ids}-01`), parent)
  t.equal(traceparentFrom(`cc-${ids}-03-what-the-future-will-be-like`), parent)
  for (const invalid of [
    '',
    'x',
    `ff-${ids}-01`,
    `00-${ids}-01-more`,
    `cc-${ids}-01x`,
    `00-${ids.toUpperCase()}-01`,
    `00-${ids}-1`,
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `00-0af7651916cd43dd8448eb211c80319c-${'0'.repeat(16)}-01`,
    `${parent}, ${parent}`
  ])
    t.equal(traceparentFrom(invalid), undefined, invalid)
  t.equal(traceContextFrom({}), undefined)
})

t.test('a tracestate goes with a valid traceparent only, and not when it breaks a rule', async (t) => {
  const stateFrom = (tracestate: string, traceparent = parent) =>
    traceContextFrom({ traceparent, tracestate })?.tracestate
  t.equal(stateFrom('congo=t61rcWkgMzE'), 'congo=t61rcWkgMzE')
  t.equal(stateFrom(' a=1 ,, b@c=2\t'), 'a=1,b@c=2')
  const long = Array.from({ length: 32 }, (_, i) => `k${i}=${'x'.repeat(100)}`).join(',')
  t.equal(stateFrom(long), long)
  for (const invalid of [`${long},one=more`, 'A=1', 'a=', '=1', 'a', 'a=b=c', ''])
    t.equal(stateFrom(invalid), undefined, invalid)
  t.equal(traceContextFrom({ traceparent: 'x', tracestate: 'a=1' }), undefined)
})

t.test('an event is stored with its own trace, else with that of its request', async (t) => {
  const { app, redis, prefix } = await testApp(t)
  const stored = async (event: object, headers: Record<string, string>, type = 'application/json') => {
    const payload = JSON.stringify({ type: 'users.user.renamed', data: { name: 'x' }, ...event })
    const all = { ...as('publisher'), 'content-type': type, ...headers }
    t.equal((await app.inject({ method: 'POST', url: '/events', payload, headers: all })).statusCode, 202)
    const [[, fields = []] = []] = await redis.xrevrange(`${prefix}users:user:events`, '+', '-', 'COUNT', 1)
    const of = (name: string) => (fields.includes(name) ? fields[fields.indexOf(name) + 1] : undefined)
    return [of('traceparent'), of('tracestate')]
  }
  const own = `00-${ids}-00`
  t.same(await stored({}, {}), [undefined, undefined])
  t.same(await stored({}, { traceparent: parent, tracestate: 'a=1' }), [parent, 'a=1'])
  t.same(await stored({}, { traceparent: 'bad', tracestate: 'a=1' }), [undefined, undefined])
  t.same(await stored({ traceparent: own }, { traceparent: parent, tracestate: 'a=1' }), [own, undefined])
  t.same(await stored({}, { traceparent: parent }, 'application/x-ndjson'), [parent, undefined])
})
