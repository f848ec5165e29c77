import t from 'tap'
import { as, testApp } from '../fixtures/app.ts'

t.test('the lag names every group of the topology and counts what it has not read', async (t) => {
  const { app, redis, prefix } = await testApp(t)
  const headers = { ...as('publisher'), 'content-type': 'application/json' }
  const payload = [1, 2, 3].map((amount) => ({ type: 'orders.order.created', data: { orderId: 'o', amount } }))
  await app.inject({ method: 'POST', url: '/events', payload, headers })
  await redis.xreadgroup('GROUP', 'order_processors', 'c1', 'COUNT', 1, 'STREAMS', `${prefix}orders:order:created`, '>')
  const answer = await app.inject({ url: '/admin/lag', headers: as('observer') })
  t.equal(answer.statusCode, 200)
  const { items, checkedAt } = answer.json()
  t.match(checkedAt, /^20\d\d-.*Z$/)
  t.equal(items.length, 1)
  t.match(items[0], {
    stream: 'orders:order:created',
    group: 'order_processors',
    unread: 2,
    pending: 1,
    dead: 0,
    paused: false,
    alerts: []
  })
})
