import t from 'tap'
import { as, testApp } from '../fixtures/app.ts'

const { app, redis, prefix } = await testApp(t)
const stream = 'orders:order:created'
const data = '{ "orderId":"o1",  "amount":12345678901234567890.10 }'

async function publish(event: string): Promise<string> {
  const headers = { ...as('publisher'), 'content-type': 'application/json' }
  return (await app.inject({ method: 'POST', url: '/events', payload: event, headers })).json().entryId
}

function look(path: string) {
  return app.inject({ url: `/admin/streams/${stream}/entries${path}`, headers: as('admin') })
}

t.test('an entry is shown as the event it was, its data byte for byte, with its state in every group', async (t) => {
  const entryId = await publish(
    `{"type":"orders.order.created","id":"e1","source":"/shop?a=b","region":"eu","data":${data}}`
  )
  const answer = await look(`/${entryId}`)
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
  t.ok(answer.body.includes(`"data":${data}`))
  t.match(answer.json(), {
    stream,
    entryId,
    event: { specversion: '1.0', id: 'e1', source: '/shop?a=b', type: 'orders.order.created', region: 'eu' },
    groups: { order_processors: { state: 'unread' } }
  })
})

t.test('the state follows the group: pending with its consumer, then done', async (t) => {
  const entryId = await publish(`{"type":"orders.order.created","data":${data}}`)
  const key = prefix + stream
  await redis.xreadgroup('GROUP', 'order_processors', 'c1', 'STREAMS', key, '>')
  t.same((await look(`/${entryId}`)).json().groups, { order_processors: { state: 'pending', consumer: 'c1' } })
  await redis.xack(key, 'order_processors', entryId)
  t.same((await look(`/${entryId}`)).json().groups, { order_processors: { state: 'done' } })
})

t.test('an event is found by its source and id, and an unknown one is an empty list', async (t) => {
  const found = await look(`?source=${encodeURIComponent('/shop?a=b')}&id=e1`)
  t.equal(found.json().items.length, 1)
  t.equal(found.json().items[0].event.id, 'e1')
  t.ok(found.body.includes(`"data":${data}`))
  t.same((await look('?source=/shop&id=e1')).json(), { items: [] })
})

t.test('an entry that another program wrote is shown as it is, even if its data is not JSON', async (t) => {
  const entryId = (await redis.xadd(prefix + stream, '*', 'id', 'f1', 'data', 'not json')) as string
  t.match((await look(`/${entryId}`)).json().event, { id: 'f1', data: 'not json' })
})
