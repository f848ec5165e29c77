import t from 'tap'
import { as } from '../fixtures/app.ts'
import { operatorScene, pauseAndWait, scriptedHandler, stream } from '../fixtures/operators.ts'
import { until } from '../fixtures/until.ts'

const many = (count: number) => Array.from({ length: count }, (_, n) => `e${n}`)
const patient = { minMs: 60_000, maxMs: 60_000, factor: 1, jitter: 0 }
type Item = Record<string, string>

t.test('a paused group starts nothing until it is resumed, and says since when', async (t) => {
  const { handler, calls } = scriptedHandler(() => undefined)
  const scene = await operatorScene(t, { workers: { handler, staleAfterMs: 500 } })
  const { call, publish } = scene
  await publish(['before'])
  await until(() => calls.length === 1)
  await pauseAndWait(scene, 'workers')
  const { since } = await call('POST', 'groups/workers/pause')
  t.match(since, /^20\d\d-/)
  t.match(await call('POST', 'groups/workers/pause'), { http: 200, paused: true, changed: false, since })
  const seen = calls.length
  await publish(many(3))
  t.match((await call('GET', 'groups/workers')).parts, [{ kind: 'handler', unread: 3, paused: true }])
  t.equal(calls.length, seen)
  t.match(await call('POST', 'groups/workers/resume'), { paused: false, changed: true })
  await until(() => calls.length === 4)
})

t.test('a paused group reads on where a seek says; a dry run counts first; clear drops what it held', async (t) => {
  const { handler, calls } = scriptedHandler((id) => (id === 'e0' ? new Error('later') : undefined))
  const scene = await operatorScene(t, { workers: { handler, backoff: patient, staleAfterMs: 500 } })
  const { call, publish, redis, keys } = scene
  const ids = await publish(many(10))
  await until(() => calls.length === 10)
  await until(async () => (await redis.zcard(keys.group('workers').delayed)) === 1)
  t.equal((await call('POST', 'groups/workers/seek', { to: 'beginning' })).code, 'group-not-paused')
  await pauseAndWait(scene, 'workers')
  const dry = await call('POST', 'groups/workers/seek', { to: ids[6], dryRun: true, clear: true })
  t.match(dry, {
    http: 200,
    dryRun: true,
    parts: [{ stream, unread: 4, skipped: 0, pending: 0, delayed: 1, requeue: 0 }]
  })
  t.match((await call('GET', 'groups/workers')).parts, [{ unread: 0, delayed: 1 }])
  for (const to of ['yesterday', '1-1-1', ''])
    t.equal((await call('POST', 'groups/workers/seek', { to })).http, 400, to)

  t.match(await call('POST', 'groups/workers/seek', { to: ids[6], clear: true }), { parts: [{ unread: 4 }] })
  t.match((await call('GET', 'groups/workers')).parts, [{ unread: 4, delayed: 0, pending: 0 }])
  t.equal(await redis.hget(keys.group('workers').counts, 'cleared'), '1')
  await call('POST', 'groups/workers/resume')
  await until(() => calls.length === 14)
  t.same(calls.slice(10), ['e6', 'e7', 'e8', 'e9'])
  await pauseAndWait(scene, 'workers')
  t.match(await call('POST', 'groups/workers/seek', { to: '2020-01-01T00:00:00Z', dryRun: true }), {
    parts: [{ unread: 10 }]
  })
  t.match(await call('POST', 'groups/workers/seek', { to: ids[3] }), { parts: [{ unread: 7, skipped: 0 }] })
  const past = { unread: 0, lastDeliveredId: ids[9], skipped: 7 }
  t.match(await call('POST', 'groups/workers/seek', { to: 'end', dryRun: true }), { parts: [past] })
  t.match(await call('POST', 'groups/workers/seek', { to: 'end' }), { parts: [past] })
  t.match((await call('GET', 'groups/workers')).parts, [{ unread: 0, skipped: 7 }], 'what was not read is counted')
})

t.test('what waits for a retry is listed, the next due first', async (t) => {
  const { handler } = scriptedHandler((id) => new Error(`no answer for ${id}`))
  const { call, publish, redis, keys } = await operatorScene(t, { workers: { handler, backoff: patient } })
  await publish(many(7))
  await until(async () => (await redis.zcard(keys.group('workers').delayed)) === 7)
  const first = await call('GET', 'groups/workers/delayed?limit=5')
  const second = await call('GET', `groups/workers/delayed?limit=5&cursor=${first.next}`)
  t.equal(second.next, undefined)
  const items: Item[] = [...first.items, ...second.items]
  t.same(items.map(({ eventId }) => eventId).toSorted(), many(7))
  t.match(items[0], { attempts: 1, lastError: `Error: no answer for ${items[0]?.eventId}`, stream })
})

t.test(
  'pending entries come in pages, by idle time and consumer, with a preview, whatever became of them',
  async (t) => {
    const { call, publish, redis, keys } = await operatorScene(t, { outside: { external: true } })
    const ids = await publish(many(30))
    const read = (consumer: string, count: number) =>
      redis.xreadgroup('GROUP', 'outside', consumer, 'COUNT', count, 'STREAMS', keys.stream, '>')
    await read('c1', 20)
    await redis.xclaim(keys.stream, 'outside', 'c1', 0, ...ids.slice(0, 5), 'IDLE', 60_000, 'JUSTID')
    await read('c2', 10)
    await redis.xdel(keys.stream, ids[1] as string)
    const seen: string[] = []
    let cursor = ''
    do {
      const page = await call('GET', `groups/outside/pending?limit=7${cursor}`)
      seen.push(...page.items.map(({ id }: Item) => id))
      cursor = page.next === undefined ? '' : `&cursor=${page.next}`
    } while (cursor !== '')
    t.same(seen, ids)
    const { items } = await call('GET', 'groups/outside/pending?minIdleMs=30000')
    t.same(
      items.map(({ id }: Item) => id),
      ids.slice(0, 5)
    )
    t.match(items[0], { consumer: 'c1', gone: false, eventId: 'e0', preview: '{"orderId":"e0"}', entryId: ids[0] })
    t.match(items[1], { gone: true, deliveries: 1 })
    t.equal((await call('GET', 'groups/outside/pending?consumer=c2&limit=500')).items.length, 10)
    t.equal((await call('GET', 'groups/outside/pending', undefined, 'observer')).http, 403)

    t.equal((await call('POST', 'groups/outside/pending/claim', { ids: [ids[0]] })).code, 'consumer-needed')
    const claim = await call('POST', 'groups/outside/pending/claim', {
      ids: [ids[0], ids[1], '1-1', ids[25]],
      minIdleMs: 30_000,
      consumer: 'c9'
    })
    t.same(
      claim.items.map(({ result }: Item) => result),
      ['claimed', 'payload-gone', 'not-pending', 'not-idle']
    )
    t.match((await call('GET', 'groups/outside/dead-letters')).items, [{ reason: 'lost', entryId: ids[1] }])
    t.equal((await call('POST', 'groups/outside/pending/claim', { minIdleMs: 30_000, consumer: 'c9' })).items.length, 3)
    const ack = await call('POST', 'groups/outside/pending/ack', { ids: [ids[0], ids[1]] })
    t.same(
      ack.items.map(({ result }: Item) => result),
      ['acked', 'not-pending']
    )
    for (const body of [{}, { ids: [] }, { ids: ['x'] }, { ids: ['1-1'], x: 1 }])
      t.equal((await call('POST', 'groups/outside/pending/ack', body)).code, 'invalid-parameter')
  }
)

t.test('an entry claimed without a consumer is run again at once by a live process, whoever held it', async (t) => {
  const { handler, calls } = scriptedHandler(() => undefined)
  const scene = await operatorScene(t, { workers: { handler, staleAfterMs: 5_000 } })
  const { call, publish, redis, keys } = scene
  await pauseAndWait(scene, 'workers')
  const ids = await publish(many(3))
  await redis.xreadgroup('GROUP', 'workers', 'somebody', 'STREAMS', keys.stream, '>')
  await call('POST', 'groups/workers/resume')
  const { items } = await call('POST', 'groups/workers/pending/claim', { ids: [ids[1]] })
  t.same(items, [{ id: ids[1], result: 'claimed' }])
  const at = performance.now()
  await until(() => calls.length === 1)
  t.ok(performance.now() - at < 2_000)
  t.same(calls, ['e1'])
  await until(async () => (await redis.xpending(keys.stream, 'workers'))[0] === 2)
})

t.test('a consumer is removed once it is gone and holds nothing, or after its entries were moved', async (t) => {
  const { handler, calls } = scriptedHandler(() => undefined)
  const scene = await operatorScene(t, { workers: { handler, staleAfterMs: 5_000 } })
  const { call, publish, redis, keys } = scene
  await publish(['first'])
  await until(() => calls.length === 1)
  const path = 'groups/workers/consumers'
  const live = (await call('GET', path)).items.find(({ lastHeartbeatAt }: Item) => lastHeartbeatAt)
  t.equal((await call('DELETE', `${path}/${encodeURIComponent(live.name)}`)).code, 'consumer-in-use')
  await pauseAndWait(scene, 'workers')
  await publish(many(3))
  await redis.xreadgroup('GROUP', 'workers', 'some one', 'STREAMS', keys.stream, '>')
  t.match(
    (await call('GET', path)).items.find(({ name }: Item) => name === 'some one'),
    { pending: 3, stream }
  )
  t.equal((await call('DELETE', `${path}/some%20one`)).code, 'consumer-in-use')
  await call('POST', 'groups/workers/resume')
  t.equal((await call('DELETE', `${path}/some%20one?move=true`)).http, 204)
  t.equal((await call('DELETE', `${path}/some%20one`)).code, 'consumer-not-found')
  await until(() => calls.length === 4)
  t.equal((await call('DELETE', `${path}/~handed-over`)).http, 409)
})

t.test(
  'a group is created once, watched, and removed with its companions only when it holds nothing or by force',
  async (t) => {
    const { app, call, publish, redis, keys } = await operatorScene(t, { workers: { external: true } })
    await publish(many(3))
    t.match(await call('PUT', 'groups/reports', { from: 'beginning' }), {
      http: 201,
      parts: [{ kind: 'orphan', unread: 3 }]
    })
    t.equal((await call('PUT', 'groups/reports', { from: 'end' })).http, 200)
    const lag = (await call('GET', '/admin/lag')).items
    t.same(
      lag.map(({ group, kind }: Item) => [group, kind]),
      [
        ['workers', 'external'],
        ['reports', 'orphan']
      ]
    )
    await redis.xreadgroup('GROUP', 'reports', 'c', 'STREAMS', keys.stream, '>')
    t.equal((await call('DELETE', 'groups/reports')).code, 'group-in-use')
    t.equal((await call('DELETE', 'groups/workers?force=true')).code, 'group-in-use')
    t.equal((await call('DELETE', 'groups/reports?force=true')).http, 204)
    t.equal((await call('GET', 'groups/reports')).code, 'group-not-found')
    t.same(
      (await redis.keys('*')).filter((key) => key.includes('reports')),
      []
    )
    const observed = await app.inject({
      method: 'PUT',
      url: `/admin/streams/${stream}/groups/x`,
      headers: as('observer'),
      payload: {}
    })
    t.equal(observed.statusCode, 403)
  }
)

t.test('what an operator gets wrong is refused, and said so that it can be put right', async (t) => {
  const { app, call } = await operatorScene(t, { workers: { external: true } })
  const wrong: [string, object | undefined, string, string][] = [
    ['groups/workers/seek', undefined, 'The body must be a JSON object', ''],
    ['groups/workers/seek', {}, 'to is required in the body', '/to'],
    ['groups/workers/replays', { filter: { kind: 'x' } }, 'filter/kind is not known in the body', '/filter/kind'],
    ['groups/workers/pause', { minutes: 5 }, 'minutes is not known in the body', '/minutes'],
    ['groups/workers/pause?dryRun=true', undefined, 'dryRun is not known in the query', '/dryRun'],
    ['groups/workers/seek?dryRun=true', { to: 'end' }, 'dryRun is not known in the query', '/dryRun']
  ]
  for (const [path, body, detail, pointer] of wrong)
    t.match(
      await call('POST', path, body),
      { http: 400, code: 'invalid-parameter', detail, errors: [{ pointer }] },
      path
    )
  t.match(await call('PUT', 'groups/more', { from: 'now' }), {
    http: 400,
    detail: 'from must be one of beginning, end'
  })
  await call('POST', 'groups/workers/pause')
  t.match(await call('POST', 'groups/workers/seek', { to: 'now' }), {
    detail: /^to is `beginning`, `end`, an entry id/
  })
  t.equal((await call('POST', 'groups/workers/resume', {})).http, 200, 'an empty body is none')
  const form = { ...as('admin'), 'content-type': 'application/x-www-form-urlencoded' }
  const url = `/admin/streams/${stream}/groups/workers/seek`
  const answer = await app.inject({ method: 'POST', url, headers: form, payload: '{"to":"end"}' })
  t.match(answer.json(), { status: 415, detail: 'Send it as application/json.' })
  t.equal(answer.headers['accept-post'], 'application/json')
})
