import t from 'tap'
import { createKeys } from '../../src/streams/keys.ts'
import { defineTopology } from '../../src/topology.ts'
import { as, testApp } from '../fixtures/app.ts'
import { until } from '../fixtures/until.ts'

const stream = 'carts:cart:events'
const topology = defineTopology({ streams: { [stream]: { partitions: 3, groups: { g: { external: true } } } } })
const { app, redis, prefix } = await testApp(t, { topology })
const keys = createKeys(prefix)
const groupOf = (partition: number) => keys.of(`${stream}:${partition}`).group('g')

// biome-ignore lint/suspicious/noExplicitAny: the body is whatever JSON came; the test says what it must be
async function call(method: 'GET' | 'POST' | 'DELETE', path: string, payload?: object): Promise<any> {
  const answer = await app.inject({ method, url: `/admin/streams/${path}`, headers: as('admin'), payload })
  return { http: answer.statusCode, ...(answer.body === '' ? {} : answer.json()) }
}

/** Letters 0 to 11, four in each partition. */
for (let n = 0; n < 12; n += 1) {
  const letter = ['dead.entryId', `${n + 1}-1`, 'dead.reason', 'exhausted', 'dead.errors', '', 'dead.fingerprint', 'f']
  await redis.xadd(groupOf(n % 3).dead, '*', 'id', `e${n}`, 'source', '/s', 'type', 'a.b', ...letter)
}

t.test('dead letters of a partitioned stream are one list and one summary, in either order', async (t) => {
  for (const order of ['asc', 'desc']) {
    const seen: string[] = []
    let cursor = ''
    do {
      const page = await call('GET', `${stream}/groups/g/dead-letters?limit=4&order=${order}${cursor}`)
      seen.push(...page.items.map(({ eventId }: { eventId: string }) => eventId))
      cursor = page.next === undefined ? '' : `&cursor=${page.next}`
    } while (cursor !== '')
    t.same(seen.toSorted(), Array.from({ length: 12 }, (_, n) => `e${n}`).toSorted(), order)
  }
  t.match(await call('GET', `${stream}/groups/g/dead-letters/summary`), { total: 12, items: [{ count: 12 }] })
  const [item] = (await call('GET', `${stream}/groups/g/dead-letters?id=e4`)).items
  t.equal(item.stream, `${stream}:1`)
  t.equal((await call('GET', `${stream}/groups/g/dead-letters/${item.id}`)).code, 'partition-needed')
  t.equal((await call('GET', `${item.stream}/groups/g/dead-letters/${item.id}`)).event.id, 'e4')
})

t.test(
  'a replay over all partitions keeps its limit and its rate together, and one partition can be replayed alone',
  async (t) => {
    const { id, ratePerSecond } = await call('POST', `${stream}/groups/g/replays`, { limit: 7, ratePerSecond: 300 })
    t.equal(Math.round(ratePerSecond), 300)
    const done = await until(async () => {
      const replay = await call('GET', `${stream}/groups/g/replays/${id}`)
      return replay.status === 'done' ? replay : undefined
    })
    t.equal(done.requeued, 7)
    const lengths = await Promise.all([0, 1, 2].map((partition) => redis.xlen(groupOf(partition).requeue)))
    t.equal(
      lengths.reduce((sum, length) => sum + length, 0),
      7
    )

    t.same((await call('GET', `${stream}/groups/g/replays`)).items, [], 'it is through')
    const slow = await call('POST', `${stream}/groups/g/replays`, { ratePerSecond: 0.1 })
    const { items } = await call('GET', `${stream}/groups/g/replays`)
    t.match(items, [{ id: slow.id, status: 'running', createdBy: 'admin' }])
    t.equal(items.length, 1, 'one of all partitions')
    await call('DELETE', `${stream}/groups/g/replays/${slow.id}`)
    t.same((await call('GET', `${stream}/groups/g/replays`)).items, [], 'it was cancelled')

    const alone = await call('POST', `${stream}:2/groups/g/replays`, {})
    await until(async () => (await call('GET', `${stream}:2/groups/g/replays/${alone.id}`)).status === 'done')
    t.equal(await redis.xlen(groupOf(2).dead), 0)
    t.equal((await call('POST', `${stream}/groups/g/replays`, { ids: ['1-1'] })).code, 'partition-needed')
  }
)

t.test('pausing and seeking the whole stream concerns every partition', async (t) => {
  t.equal((await call('POST', `${stream}/groups/g/pause`)).paused, true)
  const { parts } = await call('GET', `${stream}/groups/g`)
  t.same(
    parts.map(({ paused }: { paused: boolean }) => paused),
    [true, true, true]
  )
  t.equal((await call('POST', `${stream}/groups/g/seek`, { to: '1-1' })).code, 'partition-needed')
  t.equal((await call('POST', `${stream}/groups/g/seek`, { to: 'beginning', dryRun: true })).parts.length, 3)
  t.equal((await call('POST', `${stream}/groups/g/rebuild`)).code, 'no-rebuild')
})
