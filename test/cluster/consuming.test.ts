/**
 * Tests of consuming and operating that are run against one server elsewhere, run against a cluster. They share it, one
 * after the other, each behind a prefix of its own, so that their streams lie on all of its nodes.
 */
import t from 'tap'
import { createKeys } from '../../src/streams/keys.ts'
import { as } from '../fixtures/app.ts'
import { startCluster } from '../fixtures/cluster.ts'
import { portOf } from '../fixtures/http.ts'
import { operatorScene, scriptedHandler, stream } from '../fixtures/operators.ts'
import { type OrderedProcess, orderedScene, outOfOrder } from '../fixtures/ordered.ts'
import { shareRedis } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

const cluster = await startCluster(t, { masters: 3 })
shareRedis(cluster.asServer())

await import('../routes/dead-letters.test.ts')
await import('../routes/groups.test.ts')
await import('../routes/lag.test.ts')
await import('../routes/partitioned-operations.test.ts')
await import('../consume/partitioned.test.ts')

const partitions = 8
const ids = Array.from({ length: 40 }, (_, n) => `e${n}`)

t.test('the partitions of a stream lie on several nodes, and one tail shows them all', async (t) => {
  const handled = new Set<string>()
  const group = { ordered: true, handler: async ({ id }: { id: string }) => void handled.add(id) }
  const scene = await operatorScene(t, { g: group }, { stream: { partitions, retention: { keepAll: true } } })
  await scene.publish(ids.slice(0, 20))
  const port = await portOf(scene.app)
  /** Shows what is new, or new after a position, until its test ends. */
  const tail = async (after?: string) => {
    const headers = { ...as('admin'), ...(after === undefined ? {} : { 'last-event-id': after }) }
    const ended = new AbortController()
    t.teardown(() => ended.abort())
    const path = `/admin/streams/${stream}/tail`
    const { body } = await fetch(`http://127.0.0.1:${port}${path}`, { headers, signal: ended.signal })
    let text = ''
    const read = async () => {
      for await (const part of body?.pipeThrough(new TextDecoderStream()) ?? []) text += part
    }
    read().catch(() => undefined)
    await until(() => text !== '', { what: 'the tail says something' })
    return () => Array.from(text.matchAll(/^id: (.+)\ndata: .*?"id":"(e\d+)"/gm), ([, id, event]) => ({ id, event }))
  }

  const shown = await tail()
  await scene.publish(ids.slice(20))
  await until(() => shown().length === 20)
  const later = await tail(shown()[9]?.id)
  await until(() => later().length === 10)
  const events = [...shown().slice(0, 10), ...later()].map(({ event }) => event)
  t.same(events.toSorted(), ids.slice(20).toSorted(), 'it goes on where a tail ended')
  await until(() => handled.size === ids.length)

  const keys = createKeys(scene.prefix)
  const owners = ids.map((_, n) => cluster.masterOf(keys.of(`${stream}:${n % partitions}`).stream))
  t.ok(new Set(await Promise.all(owners)).size > 1)
})

t.test('what died in partitions on several nodes is replayed to its end by one order, and handled', async (t) => {
  let isBroken = true
  const { handler, calls } = scriptedHandler(() => (isBroken ? new Error('broken') : undefined))
  const scene = await operatorScene(
    t,
    { g: { handler, maxAttempts: 2, backoff: { minMs: 20 } } },
    { stream: { partitions } }
  )
  await scene.publish(ids)
  const lag = async (of: 'dead' | 'unread' | 'pending') => {
    const { items } = await scene.call('GET', '/admin/lag')
    return items.reduce((sum: number, item: Record<string, number>) => sum + (item[of] ?? 0), 0)
  }
  await until(async () => (await lag('dead')) === ids.length)
  t.equal(calls.length, 2 * ids.length, 'each was tried again after its delay')
  isBroken = false
  const { id } = await scene.call('POST', 'groups/g/replays', { ratePerSecond: 1_000 })
  await until(async () => (await scene.call('GET', `groups/g/replays/${id}`)).status === 'done')
  await until(async () => (await lag('dead')) + (await lag('unread')) + (await lag('pending')) === 0)
  t.same(calls.slice(2 * ids.length).toSorted(), ids.toSorted())
})

t.test('processes share the partitions of all nodes evenly and in order, also those of one that dies', async (t) => {
  const scene = await orderedScene(t, partitions)
  const group = { staleAfterMs: 1_000, backoff: { minMs: 100, factor: 1, jitter: 0 } }
  const processes = await Promise.all([scene.spawn(group), scene.spawn(group)])
  await until(async () => (await scene.spread(processes)).every((owned) => owned === partitions / 2))
  const keys = Array.from({ length: 24 }, (_, n) => `k${n}`)
  const append = async (first: number) => {
    for (let n = first; n < first + 10; n += 1)
      await scene.append(keys.map((key, k) => ({ key, n, ms: 10, fails: n % 10 === k % 10 ? 1 : 0 })))
  }
  await append(0)
  const [victim, survivor] = processes
  await until(async () => (await scene.records('k0')).length > 4, { what: 'they are at work' })
  victim?.kill('SIGKILL')
  await append(10)
  await until(async () => (await scene.open()) === 0, { deadlineMs: 20_000, what: 'everything is handled' })
  t.same(await scene.spread([survivor as OrderedProcess]), [partitions])
  t.same(await outOfOrder(scene, keys, 20), [])
  t.same(await scene.deadLetters(), [])
})
