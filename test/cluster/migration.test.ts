import { Agent } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { startCluster } from '../fixtures/cluster.ts'
import type { ClusterNode } from '../fixtures/cluster-node.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { post } from '../fixtures/http.ts'
import { orderedScene, outOfOrder } from '../fixtures/ordered.ts'
import { type Attempt, isAllDone, misplaced, postOnce, startPosting } from '../fixtures/posting.ts'
import { recording, typeOf } from '../fixtures/recorded.ts'
import { shareRedis } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

/** The stream that moves from the first to the second master, and one that stays with the first. */
const [moving, staying] = ['test:red:posted', 'test:delta:posted']
const KNOWN = 10_000
const MIN_MS = 5_000

const cluster = await startCluster(t, { masters: 3 })
shareRedis(cluster.asServer())

t.test('a slot that moves under load: nothing lost, nothing doubled, and everything goes on by itself', async (t) => {
  const redis = cluster.client()
  const { env, unhandled } = await recording(t, { [moving]: {}, [staying]: {} })
  const gateways = await Promise.all([0, 1].map(() => startGateway(t, { REDIS_URL: cluster.url, ...env })))
  const ports = gateways.map(({ port }) => port)
  const [port = 0] = ports

  const known = new Map<string, string>()
  for (let first = 0; first < KNOWN; first += 1_000) {
    const ids = Array.from({ length: 1_000 }, (_, n) => `known-${first + n}`)
    const events = ids.map((id) => ({ type: typeOf(moving), source: '/test', id, data: {} }))
    const { status, body } = await post(port, JSON.stringify(events), { path: '/events/batch' })
    t.equal(status, 202)
    for (const [n, id] of ids.entries()) known.set(id, body.results[n].entryId)
  }
  // Some wait for a retry while their keys move.
  for (let n = 0; n < 20; n += 1) await postOnce(port, moving, `failing-${n}`, undefined, { fails: 1 + (n % 3) })

  const [from, to] = cluster.nodes
  if (from === undefined || to === undefined) throw new Error('there are three nodes')
  t.equal(await cluster.masterOf(moving), from)
  const slot = await cluster.slotOf(moving)
  t.not(slot, await cluster.slotOf(staying))
  const posting = startPosting(t, { ports, streams: [moving, staying], name: 'new' })
  const again = sendAgain(t, ports, [...known.keys()])
  const tookMs = await cluster.migrateSlot(slot, to, { minMs: MIN_MS })
  const movedAt = performance.now()
  t.ok(tookMs >= MIN_MS, `it took ${Math.round(tookMs)} ms`)
  t.equal(await cluster.masterOf(moving), to)
  const isBack = ({ stream, status, at }: Attempt) => stream === moving && status === 202 && at > movedAt
  await until(() => posting.attempts.filter(isBack).length > 20, { what: 'appends go on by themselves' })
  await until(() => again.attempts.filter(isBack).length > 20)
  await Promise.all([posting.finish(), again.finish()])

  const all = [...posting.attempts, ...again.attempts]
  const others = all.filter(({ status, code }) => status !== 202 && (status !== 503 || code !== 'store-moving'))
  t.same(others, [], 'at worst the store is said to be moving')
  const refused = all.filter(({ code }) => code === 'store-moving')
  t.ok(refused.length > 0, `${refused.length} of ${all.length} refused`)
  t.ok(refused.every(({ stream }) => stream === moving))
  const repeated = again.attempts.filter(({ status }) => status === 202)
  t.ok(repeated.every(({ id, entryId, duplicate }) => duplicate && known.get(id) === entryId))
  t.same(await misplaced(redis, { attempts: [...posting.attempts, ...repeated] }), [])
  const ids = [...known.keys(), ...posting.accepted.keys(), ...Array.from({ length: 20 }, (_, n) => `failing-${n}`)]
  const inMoving = ids.filter((id) => !id.includes(staying)).length
  t.equal(await redis.xlen(moving), inMoving)

  await until(() => unhandled(ids).length === 0, { what: 'consumers handle everything by themselves' })
  await until(() => isAllDone(port), { what: 'nothing is stuck' })
})

t.test('while a partition moves, the events of each key are handled in the order they were appended', async (t) => {
  const scene = await orderedScene(t, 4)
  const group = { staleAfterMs: 1_000, backoff: { minMs: 100, factor: 1, jitter: 0 } }
  await Promise.all([scene.spawn(group), scene.spawn(group)])
  const keys = Array.from({ length: 12 }, (_, n) => `k${n}`)
  let appended = 0
  let isOver = false
  const appending = (async () => {
    for (; !isOver || appended < 30; appended += 1) {
      const n = appended
      await scene.append(keys.map((key, k) => ({ key, n, ms: 5, fails: n % 10 === k % 10 ? 1 : 0 })))
      await pause(50)
    }
  })()
  await until(async () => (await scene.owners()).every((owner) => owner !== ''))
  const moving = scene.keys[0]?.stream ?? ''
  const from = await cluster.masterOf(moving)
  const to = cluster.nodes.find((node) => node !== from) as ClusterNode
  await cluster.migrateSlot(await cluster.slotOf(moving), to, { minMs: 1_500 })
  isOver = true
  await appending
  await until(async () => (await scene.open()) === 0, { what: 'everything is handled' })

  t.same(await outOfOrder(scene, keys, appended), [])
  t.same(await scene.deadLetters(), [])
})

/** Sends ids that are known, over and over, until `finish`. */
function sendAgain(t: { teardown: (end: () => void) => void }, ports: number[], ids: string[]) {
  const agent = new Agent({ keepAlive: true })
  const attempts: Attempt[] = []
  let isOver = false
  const senders = [1, 2, 3].map(async (step) => {
    for (let n = 0; !isOver; n += 1) {
      const id = ids[(n * 997 + step * 3_331) % ids.length] as string
      attempts.push(await postOnce(ports[n % ports.length] as number, moving, id, agent))
      await pause(10)
    }
  })
  t.teardown(() => {
    isOver = true
    agent.destroy()
  })
  return {
    attempts,
    async finish() {
      isOver = true
      await Promise.all(senders)
    }
  }
}
