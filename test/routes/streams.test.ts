import t from 'tap'
import { Type } from 'typebox'
import { defineTopology } from '../../src/topology.ts'
import { as, testApp } from '../fixtures/app.ts'
import { operatorScene, stream } from '../fixtures/operators.ts'
import { until } from '../fixtures/until.ts'

const groups = { reader: { external: true, pins: true } }
const many = (count: number, from = 0) => Array.from({ length: count }, (_, n) => `e${from + n}`)

t.test('a stream shows its length, memory, limits, groups of every kind and who pins it', async (t) => {
  const scene = await operatorScene(t, groups, { stream: { retention: { maxLength: 10, hardLimit: 20 } } })
  const { call, publish, redis, keys } = scene
  t.match((await call('GET', '/admin/streams')).items, [{ stream, length: 0 }])
  const [first, second] = await publish(many(3))
  await redis.xgroup('CREATE', keys.stream, 'left-behind', '0')
  await redis.xreadgroup('GROUP', 'reader', 'c1', 'COUNT', 2, 'STREAMS', keys.stream, '>')
  await redis.xack(keys.stream, 'reader', first as string)
  const before = await redis.dump(keys.stream)
  const shown = await call('GET', `/admin/streams/${stream}`, undefined, 'observer')
  t.match(shown, {
    http: 200,
    stream,
    observed: false,
    length: 3,
    maxLength: 10,
    unread: 'keep',
    types: ['orders.order.created'],
    parts: [{ stream, length: 3, firstEntryId: first, hardLimit: 20, hardLimitChanged: false }]
  })
  t.ok(shown.memoryBytes > 100)
  t.match(shown.parts[0].pinnedBy, { group: 'reader', entryId: second, consumer: 'c1' })
  t.same(
    shown.parts[0].groups.map(({ name, kind, pins, pending }: Record<string, unknown>) => [name, kind, pins, pending]),
    [
      ['left-behind', 'orphan', false, 0],
      ['reader', 'external', true, 1]
    ]
  )
  t.ok((await redis.dump(keys.stream)) === before, 'looking changes nothing')
  t.equal((await call('GET', '/admin/streams/other:stream')).code, 'stream-not-found')
})

t.test('a full stream takes events again within a second of a higher hard limit', async (t) => {
  const scene = await operatorScene(t, groups, { stream: { retention: { maxLength: 10, hardLimit: 20 } } })
  const { app, call, publish, redis, keys } = scene
  await publish(many(20))
  const send = () =>
    app.inject({
      method: 'POST',
      url: '/events',
      headers: as('publisher'),
      payload: { type: 'orders.order.created', data: { orderId: 'x' } }
    })
  t.equal((await send()).json().code, 'stream-full')
  t.equal((await call('PUT', 'hard-limit', { hardLimit: 10 })).code, 'invalid-parameter')
  t.match(await call('PUT', 'hard-limit', { hardLimit: 40 }), { parts: [{ hardLimit: 40, hardLimitChanged: true }] })
  const setAt = performance.now()
  await until(async () => (await send()).statusCode === 202)
  t.ok(performance.now() - setAt < 1_500)
  t.equal(await redis.hget(keys.settings, 'hardLimit'), '40')
  t.equal((await call('DELETE', 'hard-limit')).http, 204)
  await until(async () => (await send()).statusCode === 503)
  t.equal((await call('GET', '/admin/audit?limit=1')).items[0].operation, 'resetHardLimit')
})

t.test('trimming cuts what every group has handled, and by force what they have not, counted', async (t) => {
  const { call, publish, redis, keys } = await operatorScene(t, groups)
  const ids = await publish(many(30))
  await redis.xreadgroup('GROUP', 'reader', 'c1', 'COUNT', 10, 'STREAMS', keys.stream, '>')
  await redis.xack(keys.stream, 'reader', ...ids.slice(0, 8))
  t.match(await call('POST', 'trim', { maxLength: 5 }), {
    http: 200,
    removed: 8,
    length: 22,
    pinnedBy: { group: 'reader', entryId: ids[8], consumer: 'c1' }
  })
  t.match(await call('POST', 'trim', { maxLength: 5, force: true }), { removed: 17, length: 5 })
  t.equal(await redis.hget(keys.group('reader').counts, 'lost'), '15')
  t.equal((await call('POST', 'trim', {})).http, 400)
})

t.test('entries are listed in both directions, by time, type and subject, in pages', async (t) => {
  const { call, publish } = await operatorScene(t, {})
  const ids = await publish(many(25))
  const seen = async (query: string) => {
    const found: string[] = []
    let cursor = ''
    do {
      const page = await call('GET', `entries?limit=10&${query}${cursor}`)
      t.equal(page.http, 200)
      found.push(...page.items.map(({ entryId }: { entryId: string }) => entryId))
      cursor = page.next === undefined ? '' : `&cursor=${page.next}`
    } while (cursor !== '')
    return found
  }
  t.same(await seen(''), ids)
  t.same(await seen('order=desc'), ids.toReversed())
  t.same(await seen('type=orders.order.created'), ids)
  t.same(await seen('type=other'), [])
  t.same(await seen('subject=subject-e7'), [ids[7]])
  t.same(await seen(`from=${ids[3]}&to=${ids[5]}`), ids.slice(3, 6))
  t.same(await seen('to=2020-01-01T00:00:00Z'), [])
  t.equal((await call('GET', 'entries?source=x')).code, 'invalid-parameter')
  t.equal((await call('GET', 'entries', undefined, 'observer')).http, 403)
})

t.test(
  'a partitioned stream is listed as a whole or by partition; an id needs its partition; an observed one is left alone',
  async (t) => {
    const topology = defineTopology({
      streams: {
        'carts:cart:events': {
          partitions: 3,
          events: { 'carts.item.added': Type.Object({}) },
          groups: { g: { external: true } }
        },
        'billing:invoice:paid': { observed: true }
      }
    })
    const { app, redis, prefix } = await testApp(t, { topology })
    const payload = many(30).map((id) => ({ id, source: '/s', type: 'carts.item.added', subject: id, data: {} }))
    const headers = { ...as('publisher'), 'content-type': 'application/json' }
    t.equal((await app.inject({ method: 'POST', url: '/events', headers, payload })).statusCode, 202)
    const get = async (path: string) =>
      (await app.inject({ url: `/admin/streams/${path}`, headers: as('admin') })).json()
    const whole = await get('carts:cart:events')
    t.match(whole, { length: 30, partitions: 3, parts: [{ stream: 'carts:cart:events:0' }, {}, {}] })
    t.equal((await get('carts:cart:events:1')).length, whole.parts[1].length)
    const ids: string[] = []
    let cursor = ''
    do {
      const page = await get(`carts:cart:events/entries?limit=7${cursor}`)
      ids.push(...page.items.map((item: { event: { id: string } }) => item.event.id))
      cursor = page.next === undefined ? '' : `&cursor=${page.next}`
    } while (cursor !== '')
    t.same(ids.toSorted(), many(30).toSorted())
    t.equal((await get('carts:cart:events/entries/1-1')).code, 'partition-needed')
    t.equal((await get('carts:cart:events:1/entries/1-1')).code, 'entry-not-found')
    t.equal((await get('carts:cart:events:3')).code, 'stream-not-found')

    await redis.xadd(`${prefix}billing:invoice:paid`, '*', 'id', 'i1')
    t.match(await get('billing:invoice:paid'), { observed: true, length: 1 })
    t.equal((await get('billing:invoice:paid/entries')).items.length, 1)
    const trim = { method: 'POST', url: '/admin/streams/billing:invoice:paid/trim', headers: as('admin') } as const
    t.equal((await app.inject({ ...trim, payload: { maxLength: 0 } })).json().code, 'stream-observed')
    t.equal(await redis.xlen(`${prefix}billing:invoice:paid`), 1)
  }
)
