import { createHmac } from 'node:crypto'
import t from 'tap'
import { Type } from 'typebox'
import { reject } from '../../src/consume/outcomes.ts'
import { defineTopology } from '../../src/topology.ts'
import { as, testApp } from '../fixtures/app.ts'
import { scrape, scrapeUntil } from '../fixtures/exposition.ts'
import { operatorScene, stream } from '../fixtures/operators.ts'
import { until } from '../fixtures/until.ts'

const json = { ...as('publisher'), 'content-type': 'application/json' }
const order = (id: string | undefined, amount: number) => ({
  type: 'orders.order.created',
  id,
  source: '/test',
  data: { orderId: 'o', amount }
})

t.test('only a key with the scope observe sees metrics, and the API description does not name them', async (t) => {
  const { app } = await testApp(t)
  t.equal((await app.inject({ url: '/metrics' })).statusCode, 401)
  t.equal((await app.inject({ url: '/metrics', headers: as('publisher') })).statusCode, 403)
  const answer = await app.inject({ url: '/metrics', headers: as('observer') })
  t.equal(answer.statusCode, 200)
  t.match(answer.headers['content-type'], /^text\/plain; version=0\.0\.4/)
  t.notOk((await app.inject({ url: '/openapi.json' })).json().paths['/metrics'])
})

t.test('what is published, known, and refused is counted as Redis and the client see it', async (t) => {
  const { app, redis, prefix } = await testApp(t)
  const post = (payload: object, url = '/events') => app.inject({ method: 'POST', url, headers: json, payload })
  const before = await scrape(app)
  t.equal(before.value('headgate_requests_refused_total', { endpoint: 'events', code: 'overloaded' }), 0)
  t.equal(before.value('headgate_events_stored_total', { stream: 'orders:order:created' }), 0)

  await post([order('a', 1), order('b', 2), order('c', 3)])
  await post([order('a', 1), order('d', 4)], '/events/batch')
  await post(order(undefined, 5))
  await post(order('e', -1))
  await post({ type: 'nobody.knows', data: {} })
  await app.inject({ method: 'POST', url: '/events', payload: order('f', 1) })
  await app.inject({ url: '/nowhere' })
  const lines = [order('g', 1), order('h', 2)].map((event) => JSON.stringify(event)).join('\n')
  const ndjson = { ...json, 'content-type': 'application/x-ndjson' }
  await app.inject({ method: 'POST', url: '/events', headers: ndjson, payload: lines })

  const length = await redis.xlen(`${prefix}orders:order:created`)
  const remembered = (await redis.keys(`${prefix}*:seen:*`)).length
  const seen = await scrapeUntil(
    app,
    (now) => now.value('headgate_stream_length', { stream: 'orders:order:created' }) === length
  )
  const of = (name: string) => seen.value(name, { stream: 'orders:order:created' })
  t.equal(length, 7)
  t.equal(of('headgate_events_stored_total'), length)
  t.equal(of('headgate_events_duplicate_total'), 1)
  t.equal(of('headgate_event_size_bytes_count'), 8)
  t.equal(of('headgate_append_duration_seconds_count'), 4)
  t.equal(of('headgate_flush_events_sum'), 8)
  t.equal(of('headgate_group_unread'), undefined)
  t.equal(of('headgate_stream_remembered_keys'), remembered)
  t.equal(seen.value('headgate_group_unread', { stream: 'orders:order:created', group: 'order_processors' }), length)
  const received = (endpoint: string, mode: string) => seen.value('headgate_events_received_total', { endpoint, mode })
  t.same([received('events', 'json'), received('batch', 'json'), received('events', 'ndjson')], [6, 2, 2])
  const refused = (endpoint: string, code: string) => seen.value('headgate_requests_refused_total', { endpoint, code })
  t.same(
    [refused('events', 'schema-violation'), refused('events', 'unknown-type'), refused('events', 'unauthenticated')],
    [1, 1, 1]
  )
  t.equal(refused('other', 'route-not-found'), 1)
  t.same(
    seen.series('headgate_requests_accepted_total').map(({ value }) => value),
    [3, 1, 0]
  )
})

t.test('the memory of known events is estimated within a fifth of what Redis takes', async (t) => {
  const { app, redis } = await testApp(t)
  const used = async () => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
  const events = Array.from({ length: 1_000 }, (_, index) => order(`n${index}`, index))
  const post = (payload: object) => app.inject({ method: 'POST', url: '/events', headers: json, payload })
  await post(events.map((event) => ({ ...event, id: undefined })))
  const plain = await used()
  for (let round = 0; round < 8; round += 1)
    await post(events.map((event) => ({ ...event, id: `${round}-${event.id}`.padStart(36, '0') })))
  const withKeys = await used()
  for (let round = 0; round < 8; round += 1) await post(events.map((event) => ({ ...event, id: undefined })))
  const without = await used()
  const taken = withKeys - plain - (without - withKeys)
  const labels = { stream: 'orders:order:created' }
  const seen = await scrapeUntil(app, (now) => now.value('headgate_stream_length', labels) === 17_000)
  const estimated = Number(seen.value('headgate_stream_remembered_bytes', labels))
  t.ok(estimated > taken * 0.8 && estimated < taken * 1.2, `${estimated} bytes for ${taken}`)
})

t.test('webhook deliveries are counted by source and by what came of verifying them', async (t) => {
  const topology = defineTopology({
    streams: {},
    sources: { github: { preset: 'github' }, other: { preset: 'github' } }
  })
  const { app } = await testApp(t, { topology, ...{ WEBHOOK_SECRET_GITHUB: 'secret' } })
  const payload = '{"zen":"x"}'
  const signature = `sha256=${createHmac('sha256', 'secret').update(payload).digest('hex')}`
  const post = (source: string, sent: Record<string, string>) =>
    app.inject({ method: 'POST', url: `/webhooks/${source}`, payload, headers: { 'x-github-event': 'ping', ...sent } })
  const good = { 'x-hub-signature-256': signature, 'x-github-delivery': 'one' }
  t.same([(await post('github', good)).statusCode, (await post('github', good)).statusCode], [200, 200])
  await post('github', { ...good, 'x-hub-signature-256': `sha256=${'0'.repeat(64)}` })
  await post('github', {})
  await post('other', good)
  const seen = await scrape(app)
  const count = (source: string, result: string) =>
    seen.value('headgate_webhook_verifications_total', { source, result })
  t.equal(count('github', 'verified'), 2)
  t.equal(count('github', 'bad-signature'), 1)
  t.equal(count('github', 'missing-header'), 1)
  t.equal(count('other', 'not-configured'), 1)
  t.equal(count('other', 'verified'), 0)
  t.equal(seen.value('headgate_events_stored_total', { stream: 'webhooks:github:event' }), 1)
  t.equal(seen.value('headgate_events_duplicate_total', { stream: 'webhooks:github:event' }), 1)
  t.equal(seen.value('headgate_requests_refused_total', { endpoint: 'webhooks', code: 'webhook-refused' }), 2)
})

t.test('handlers and their groups are counted as Redis has them', async (t) => {
  const running = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  const { app, redis, keys, publish, call } = await operatorScene(t, {
    processors: {
      maxAttempts: 2,
      backoff: { minMs: 1, maxMs: 1 },
      concurrency: 7,
      handler: async ({ data }) => {
        const { orderId } = data as { orderId: string }
        if (orderId === 'bad') throw reject('never')
        if (orderId === 'broken') throw new Error('again')
        if (orderId !== 'slow') return
        running.resolve()
        await release.promise
      }
    },
    watchers: { external: true }
  })
  t.teardown(() => release.resolve())
  await publish(['a', 'b', 'bad', 'broken', 'slow'])
  await running.promise
  await until(async () => (await redis.xlen(keys.group('processors').dead)) === 2)
  await call(
    'DELETE',
    `groups/processors/dead-letters/${(await redis.xrange(keys.group('processors').dead, '-', '+'))[0]?.[0]}`
  )
  await call('POST', 'groups/watchers/pause')
  const counts = await redis.hgetall(keys.group('processors').counts)
  const mine = { stream, group: 'processors' }
  const seen = await scrapeUntil(app, (now) => now.value('headgate_group_discarded_total', mine) === 1)
  const group = (name: string) => seen.value(`headgate_group_${name}`, mine)
  t.same(['unread', 'pending', 'dead', 'delayed', 'requeue', 'consumers', 'paused'].map(group), [0, 1, 1, 0, 0, 1, 0])
  t.same(['acked_total', 'dead_letters_total'].map(group), [Number(counts.acked), Number(counts.deadTotal)])
  t.same([Number(counts.acked), Number(counts.deadTotal)], [2, 2])
  t.same(['lost_total', 'crashes_total', 'redeliveries_total', 'recreated_total'].map(group), [0, 0, 0, 0])
  t.equal(seen.value('headgate_group_paused', { stream, group: 'watchers' }), 1)
  t.equal(seen.value('headgate_group_unread', { stream, group: 'watchers' }), 5)
  const calls = (outcome: string) => seen.value('headgate_handler_duration_seconds_count', { ...mine, outcome })
  t.same([calls('handled'), calls('failed'), calls('rejected'), calls('timeout')], [2, 2, 1, undefined])
  t.equal(seen.value('headgate_handlers_running', mine), 1)
  t.equal(seen.value('headgate_handler_slots', mine), 7)
  t.equal(seen.series('headgate_handlers_running').length, 1, 'an external group has no handlers')
})

t.test('labels are the names of the topology, whatever Redis holds', async (t) => {
  const topology = defineTopology({
    streams: {
      'carts:cart:events': {
        events: { 'carts.cart.changed': Type.Unknown() },
        partitions: 3,
        groups: { projectors: { external: true, pins: true } }
      }
    }
  })
  const { app, redis, prefix } = await testApp(t, { topology })
  const payload = ['u1', 'u2', 'u3', 'u4', 'u5', 'u6'].map((subject) => ({
    type: 'carts.cart.changed',
    subject,
    data: 1
  }))
  await app.inject({ method: 'POST', url: '/events', headers: json, payload })
  for (const name of ['mine', 'yours']) await redis.xgroup('CREATE', `${prefix}carts:cart:events:1`, name, '0')
  const seen = await scrapeUntil(app, (now) => now.series('headgate_group_unread').length === 2)
  t.same(seen.series('headgate_stream_length'), [
    { name: 'headgate_stream_length', labels: { stream: 'carts:cart:events' }, value: 6 }
  ])
  const unread = (group: string) => seen.value('headgate_group_unread', { stream: 'carts:cart:events', group })
  const inOne = await redis.xlen(`${prefix}carts:cart:events:1`)
  t.same([unread('projectors'), unread('other')], [6, 2 * inOne])
  t.equal(seen.value('headgate_stream_hard_limit', { stream: 'carts:cart:events' }), 600_000)
  t.notMatch(seen.text, /carts:cart:events:1|yours/)
})

t.test('a stream that a group holds back says which, for how long, and how full it is', async (t) => {
  const topology = defineTopology({
    streams: {
      'orders:order:created': {
        events: { 'orders.order.created': Type.Unknown() },
        retention: { maxLength: 2, hardLimit: 8 },
        groups: { slow: { external: true, pins: true } }
      },
      'logs:line:written': { events: { 'logs.line.written': Type.Unknown() }, retention: { keepAll: true } }
    }
  })
  const { app } = await testApp(t, { topology })
  await app.inject({
    method: 'POST',
    url: '/events',
    headers: json,
    payload: [1, 2, 3, 4].map((n) => order(`${n}`, n))
  })
  const labels = { stream: 'orders:order:created' }
  const seen = await scrapeUntil(
    app,
    (now) => Number(now.value('headgate_stream_pinned_seconds', { ...labels, group: 'slow' })) > 0
  )
  t.equal(seen.value('headgate_stream_fill_ratio', labels), 0.5)
  t.equal(seen.value('headgate_stream_max_length', labels), 2)
  t.equal(seen.value('headgate_stream_hard_limit', { stream: 'logs:line:written' }), undefined)
  t.equal(seen.value('headgate_stream_length', { stream: 'logs:line:written' }), 0)
})

t.test('scrapes at the same time and shortly after each other ask Redis once', async (t) => {
  const { app, redis } = await testApp(t)
  const asked = async () => Number(/cmdstat_hgetall:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0)
  const before = await asked()
  await Promise.all(Array.from({ length: 20 }, () => scrape(app)))
  await scrape(app)
  t.equal((await asked()) - before, 2, 'once for each of the two streams')
  await until(async () => {
    await scrape(app)
    return (await asked()) - before === 4
  })
})

t.test('without Redis the metrics of the process itself are still answered', async (t) => {
  const { app, redis, server } = await testApp(t)
  await app.inject({ method: 'POST', url: '/events', headers: json, payload: order('a', 1) })
  const well = await scrape(app)
  t.equal(well.value('headgate_redis_answered'), 1)
  t.same(new Set(well.series('headgate_redis_up').map(({ value }) => value)), new Set([1]))

  server.pause()
  const hung = await scrapeUntil(app, (now) => now.value('headgate_redis_answered') === 0)
  t.same(hung.series('headgate_group_unread'), [], 'what only Redis knows is not made up')
  t.equal(hung.value('headgate_events_stored_total', { stream: 'orders:order:created' }), 1)
  server.resume()
  await until(async () => (await scrape(app)).value('headgate_redis_answered') === 1)

  await server.kill('SIGKILL')
  const down = await scrapeUntil(
    app,
    (now) => now.value('headgate_redis_up', { use: 'append' }) === 0 && now.value('headgate_redis_answered') === 0
  )
  t.ok(Number(down.value('process_resident_memory_bytes')) > 0)
  t.ok(Number(down.value('headgate_build_info', { version: '0.1.0' })))
  await server.start()
  await redis.ping()
  const back = await scrapeUntil(app, (now) => now.value('headgate_redis_answered') === 1)
  t.same(new Set(back.series('headgate_redis_up').map(({ value }) => value)), new Set([1]))
})
