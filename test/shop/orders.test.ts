import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { shop } from '../../src/shop/topology.ts'
import { createKeys } from '../../src/streams/keys.ts'
import { as, testApp } from '../fixtures/app.ts'
import { until } from '../fixtures/until.ts'

async function post(app: FastifyInstance, ...events: object[]): Promise<void> {
  const response = await app.inject({ method: 'POST', url: '/events/batch', headers: as('publisher'), payload: events })
  if (response.statusCode !== 202) throw new Error(`${response.statusCode}: ${response.body}`)
}

const order = (orderId: string, items: [string, number][]) => ({
  type: 'orders.order.created',
  id: `event-${orderId}`,
  source: '/test',
  data: {
    orderId,
    userId: 'user-1',
    amount: 12.5,
    currency: 'EUR',
    items: items.map(([productId, quantity]) => ({ productId, quantity, unitPrice: 1 })),
    placedAt: '2026-11-21T08:00:00Z'
  }
})

const stock = (productId: string, available: number, countedAt: string) => ({
  type: 'inventory.stock.updated',
  data: { productId, available, countedAt }
})

t.test('an order is set aside, paid, fulfilled and kept; one for more than there is ends rejected', async (t) => {
  const { app, redis, prefix } = await testApp(t, { topology: shop({}) })
  const keys = createKeys(prefix)
  const status = (orderId: string) => redis.hget(`${prefix}order:${orderId}`, 'status')
  const available = (productId: string) => redis.hget(`${prefix}{inventory}:stock`, productId)
  await post(app, stock('lamp', 3, '2026-11-21T08:00:00Z'))
  await until(async () => (await available('lamp')) === '3')
  await post(app, stock('lamp', 99, '2026-11-20T08:00:00Z'))

  const untracked: [string, number][] = [['book', 1_000]]
  await post(app, order('free', untracked))
  await post(
    app,
    order('two', [
      ['lamp', 1],
      ['book', 1],
      ['lamp', 1]
    ])
  )
  await until(async () => (await status('free')) === 'fulfilled' && (await status('two')) === 'fulfilled')
  t.equal(await available('lamp'), '1', 'an older count does not overwrite a newer one')
  await post(
    app,
    order('three', [
      ['book', 1],
      ['lamp', 2]
    ])
  )
  await until(async () => (await status('three')) === 'rejected')
  t.equal(await available('lamp'), '1', 'a rejected order sets nothing aside')
  t.match(await redis.hgetall(`${prefix}order:three`), {
    orderId: 'three',
    amount: '12.5',
    reason: 'lamp is out of stock'
  })

  const types = ['orders:order:fulfilled', 'orders:order:rejected', 'payments:payment:processed']
  const lengths = await Promise.all(
    [...types, 'inventory:stock:reserved'].map((name) => redis.xlen(keys.of(name).stream))
  )
  t.same(lengths, [2, 1, 2, 2])
  const { dead } = keys.of('orders:order:created').group('order_processors')
  t.equal(await redis.xlen(dead), 0)
})

t.test('an order that is handled again changes nothing and announces nothing', async (t) => {
  const { app, redis, prefix } = await testApp(t, { topology: shop({}) })
  const keys = createKeys(prefix).of('orders:order:created')
  await post(app, stock('lamp', 10, '2026-11-21T08:00:00Z'))
  await until(async () => (await redis.hget(`${prefix}{inventory}:stock`, 'lamp')) === '10')
  await post(app, order('one', [['lamp', 4]]))
  const acked = async () => Number(await redis.hget(keys.group('order_processors').counts, 'acked'))
  await until(async () => (await acked()) === 1)
  // What a crash before the ack does: the same entry is delivered once more.
  const [[, fields] = ['', []]] = await redis.xrange(keys.stream, '-', '+')
  await redis.xadd(keys.stream, '*', ...fields)
  await until(async () => (await acked()) === 2)
  t.equal(await redis.hget(`${prefix}{inventory}:stock`, 'lamp'), '6')
  for (const stream of ['orders:order:fulfilled', 'payments:payment:processed', 'inventory:stock:reserved'])
    t.equal(await redis.xlen(createKeys(prefix).of(stream).stream), 1, stream)
})
