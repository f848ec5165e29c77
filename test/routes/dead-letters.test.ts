import t from 'tap'
import { operatorScene, scriptedHandler } from '../fixtures/operators.ts'
import { until } from '../fixtures/until.ts'

const path = 'groups/processors/dead-letters'

const ids = Array.from({ length: 12 }, (_, n) => `e${n}`)
const failing = (id: string) => new Error(Number(id.slice(1)) < 8 ? `no stock for ${id}` : 'the address is unknown')
const { handler } = scriptedHandler(failing)
const scene = await operatorScene(t, { processors: { handler, maxAttempts: 1 } })
const { call, publish, redis, keys } = scene
await publish(ids, (id) => ({ amount: `${id} é`, number: 1 }))
const { dead } = keys.group('processors')
await until(async () => (await redis.xlen(dead)) === ids.length, { what: 'all are dead' })

t.test('dead letters come in pages, newest first, without the data of their events', async (t) => {
  const seen: string[] = []
  let cursor = ''
  for (;;) {
    const page = await call('GET', `${path}?limit=5${cursor}`)
    t.equal(page.http, 200)
    seen.push(...page.items.map(({ eventId }: { eventId: string }) => eventId))
    t.notOk(JSON.stringify(page).includes('"data"'))
    if (page.next === undefined) break
    cursor = `&cursor=${page.next}`
  }
  const all = await redis.xrevrange(dead, '+', '-')
  t.same(
    seen,
    all.map(([, fields]) => fields[1])
  )
  t.equal(seen.length, 12)
})

t.test('filters narrow the list, and the summary names the causes, the most frequent first', async (t) => {
  const { items, total, complete } = await call('GET', `${path}/summary`)
  t.same([total, complete], [12, true])
  t.same(
    items.map(({ count, reason, type }: { count: number; reason: string; type: string }) => [count, reason, type]),
    [
      [8, 'exhausted', 'orders.order.created'],
      [4, 'exhausted', 'orders.order.created']
    ]
  )
  t.match(items[1].lastError, { name: 'Error', message: 'the address is unknown' })
  const { items: some } = await call('GET', `${path}?fingerprint=${encodeURIComponent(items[1].fingerprint)}`)
  t.equal(some.length, 4)
  t.equal((await call('GET', `${path}?subject=subject-e3`)).items[0].eventId, 'e3')
  t.equal((await call('GET', `${path}?id=e3&order=asc`)).items.length, 1)
  t.equal((await call('GET', `${path}?reason=rejected`)).items.length, 0)
  t.equal((await call('GET', `${path}?from=2100-01-01T00:00:00Z`)).items.length, 0)
  t.equal((await call('GET', `${path}?from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z`)).items.length, 12)
})

t.test('one dead letter is shown whole: its history, and its event byte for byte', async (t) => {
  const [item] = (await call('GET', `${path}?id=e2`)).items
  const letter = await call('GET', `${path}/${item.id}`)
  t.match(letter, {
    http: 200,
    id: item.id,
    reason: 'exhausted',
    attempts: 1,
    failures: 1,
    firstErrors: [{ name: 'Error', message: 'no stock for e2' }],
    lastErrors: [],
    event: { specversion: '1.0', id: 'e2', source: '/test', data: { orderId: 'e2', amount: 'e2 é' } }
  })
  t.match(letter.firstErrors[0].stack, /at /)
  t.equal((await call('GET', `${path}/1-1`)).code, 'dead-letter-not-found')
})

t.test('a cursor of another list, a time that is none and a name that is none are refused as 400', async (t) => {
  for (const query of ['cursor=x', 'cursor=e30', 'from=yesterday', 'limit=0', 'limit=501', 'reason=tired', 'x=1'])
    t.match(await call('GET', `${path}?${query}`), { http: 400, code: 'invalid-parameter' }, query)
  for (const group of ['a%7Bb%7D', '*', 'a%00', 'a:entries', 'x'.repeat(101)])
    t.equal((await call('GET', `groups/${group}/dead-letters`)).http, 400, group)
  for (const name of ['a%7Bb%7D', '*', 'a%0ab', 'x'.repeat(300)])
    t.equal((await call('GET', `/admin/streams/${name}/groups/g/dead-letters`)).http, 400, name)
  t.equal((await call('GET', 'groups/nobody/dead-letters')).code, 'group-not-found')
  t.equal((await call('GET', '/admin/streams/no:such:stream/groups/g/dead-letters')).code, 'stream-not-found')
})

t.test('observe sees none of it, and read changes none of it', async (t) => {
  for (const query of ['', '/summary', '/1-1'])
    t.equal((await call('GET', path + query, undefined, 'observer')).http, 403)
  for (const [method, rest] of [
    ['DELETE', '/1-1'],
    ['POST', '/discard']
  ] as const)
    t.equal((await call(method, path + rest, method === 'POST' ? { filter: {} } : undefined, 'observer')).http, 403)
})

t.test('one is deleted once; discarding counts first, deletes what matches, and the audit says so', async (t) => {
  const [item] = (await call('GET', `${path}?id=e0`)).items
  t.equal((await call('DELETE', `${path}/${item.id}`)).http, 204)
  t.equal((await call('DELETE', `${path}/${item.id}`)).code, 'dead-letter-not-found')
  const { items } = await call('GET', `${path}/summary`)
  const filter = { fingerprint: items[0].fingerprint }
  t.match(await call('POST', `${path}/discard`, { filter, dryRun: true }), { discarded: 7, dryRun: true })
  t.equal(await redis.xlen(dead), 11)
  t.match(await call('POST', `${path}/discard`, { filter, limit: 2 }), { discarded: 2, dryRun: false })
  t.match(await call('POST', `${path}/discard`, { filter }), { discarded: 5 })
  t.equal(await redis.xlen(dead), 4)
  t.equal(await redis.hget(keys.group('processors').counts, 'discarded'), '8')
  t.equal((await call('POST', `${path}/discard`, {})).http, 400)

  const audit = (await call('GET', '/admin/audit?limit=3')).items
  t.match(audit[0], {
    operation: 'discardDeadLetters',
    key: 'admin',
    address: '127.0.0.1',
    status: 400,
    group: 'processors'
  })
  t.match(audit[1], { status: 200, result: '{"discarded":5,"dryRun":false}', stream: 'orders:order:created' })
  t.same(JSON.parse(audit[1].arguments), { filter })
  t.match(audit[1].at, /^20\d\d-/)
  t.equal((await call('GET', '/admin/audit', undefined, 'observer')).http, 403)
})
