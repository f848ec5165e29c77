import t from 'tap'
import { reject } from '../../src/consume/outcomes.ts'
import { as, testApp } from '../fixtures/app.ts'
import { operatorScene, pauseAndWait, scriptedHandler } from '../fixtures/operators.ts'
import { until } from '../fixtures/until.ts'

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

t.test('what operators threw away or ran again is counted beside what was lost', async (t) => {
  const { handler, calls } = scriptedHandler((id) => (id === 'later' ? new Error('busy') : reject('bad')))
  const backoff = { minMs: 60_000, maxMs: 60_000, factor: 1, jitter: 0 }
  const scene = await operatorScene(t, { workers: { handler, backoff, staleAfterMs: 500 } })
  const { call, publish } = scene
  const lag = async () => (await call('GET', '/admin/lag')).items[0]
  await publish(['a', 'b', 'c', 'later'])
  await until(async () => (await lag()).dead === 3 && (await lag()).delayed === 1)
  t.match(await lag(), { lost: 0, discarded: 0, replayed: 0, cleared: 0 })

  t.match(await call('POST', 'groups/workers/dead-letters/discard', { filter: { id: 'a' } }), { discarded: 1 })
  await call('POST', 'groups/workers/replays', { filter: { id: 'b' } })
  await until(async () => calls.length === 5 && (await lag()).dead === 2)
  await pauseAndWait(scene, 'workers')
  t.match(await call('POST', 'groups/workers/seek', { to: 'end', clear: true }), { http: 200, parts: [{ delayed: 1 }] })
  t.match(await lag(), { discarded: 1, replayed: 1, cleared: 1, delayed: 0, dead: 2, lost: 0 })
})
