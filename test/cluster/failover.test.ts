import t from 'tap'
import { startCluster } from '../fixtures/cluster.ts'
import type { ClusterNode } from '../fixtures/cluster-node.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { type Attempt, isAllDone, misplaced, postOnce, startPosting, storedIn } from '../fixtures/posting.ts'
import { recording } from '../fixtures/recorded.ts'
import { until } from '../fixtures/until.ts'

// Their slots are the first, the second and the third master's; delta's is red's master's.
const [red, blue, green, delta] = ['test:red:posted', 'test:blue:posted', 'test:green:posted', 'test:delta:posted']
const everywhere = { durability: 'replicated', replicas: 'all' } as const

const cluster = await startCluster(t, { masters: 3, replicas: 2 })
const redis = cluster.client()
const { env, unhandled } = await recording(t, {
  ...{ [red]: everywhere, [blue]: everywhere, [green]: everywhere },
  [delta]: { durability: 'replicated', replicas: 1 }
})
const gateways = await Promise.all([0, 1].map(() => startGateway(t, { REDIS_URL: cluster.url, ...env })))
const ports = gateways.map(({ port }) => port)
const [port = 0] = ports

t.test('an append waits for the replicas of the master that holds its stream', async (t) => {
  const nodes = await Promise.all([red, blue, green, delta].map((stream) => cluster.masterOf(stream)))
  t.same(nodes.slice(0, 3), cluster.nodes.slice(0, 3))
  t.equal(nodes[3], nodes[0])
  for (let n = 0; n < 10; n += 1)
    t.match(await postOnce(port, red, `wait-${n}`), { status: 202, durability: 'replicated' })
  const waits = await Promise.all(
    cluster.nodes.map(async (node) => (await cluster.commandCalls(node)).get('wait') ?? 0)
  )
  t.ok(waits[0] !== undefined && waits[0] >= 10)
  t.same(waits.slice(1), Array(8).fill(0), 'and of no other node')
})

for (const { how, stream } of [
  { how: 'is killed', stream: red },
  { how: 'hangs', stream: green }
]) {
  t.test(`a master ${how}: refusals while it fails over, on its streams alone, nothing lost or stuck`, async (t) => {
    const posting = startPosting(t, { ports, streams: [red, blue, green], name: how })
    await until(() => posting.accepted.size > 150)
    const master = await cluster.masterOf(stream)
    const goneAt = performance.now()
    if (how === 'hangs') master.hang()
    else await master.kill()
    t.not(await until(() => cluster.masterOf(stream)), master)
    const promotedAt = performance.now()
    const isBack = (attempt: Attempt) => attempt.stream === stream && attempt.status === 202 && attempt.at > promotedAt
    await until(() => posting.attempts.filter(isBack).length > 20, { what: 'appends go on by themselves' })
    await posting.finish()
    if (how === 'hangs') master.wake()
    else await master.restart()

    const refused = posting.attempts.filter(({ status }) => status !== 202)
    t.ok(refused.every((attempt) => attempt.stream === stream && attempt.status === 503 && attempt.at > goneAt))
    const codes = new Set(refused.map(({ code }) => code))
    t.comment(`${posting.accepted.size} accepted, ${refused.length} refused: ${[...codes]}`)
    for (const other of [red, blue, green].filter((each) => each !== stream)) {
      const meanwhile = posting.attempts.filter(
        ({ stream, status, at }) => stream === other && status === 202 && at > goneAt && at < promotedAt
      )
      t.ok(meanwhile.length > 20, `${meanwhile.length} accepted in ${other} meanwhile`)
    }
    await cluster.settled()
    t.same(await misplaced(redis, posting), [])
    const [known = ''] = [...posting.accepted.keys()].filter((id) => id.includes(stream))
    t.match(await postOnce(port, stream, known), { duplicate: true, entryId: posting.accepted.get(known) })
    await until(() => unhandled(posting.accepted.keys()).length === 0, {
      what: 'consumers handle everything by themselves'
    })
    await until(() => isAllDone(port), { what: 'nothing is stuck' })
  })
}

t.test('the replica that lags is promoted by force: what was answered as replicated is still there', async (t) => {
  const attempts: Attempt[] = []
  const postBoth = async (name: string) => {
    const both = await Promise.all([red, delta].map((stream) => postOnce(port, stream, `${name}-${stream}`)))
    attempts.push(...both)
    return both
  }
  const master = await cluster.masterOf(red)
  await waitsFor(master, 2)
  for (let n = 0; n < 10; n += 1) t.match(await postBoth(`before-${n}`), [{ status: 202 }, { status: 202 }])

  const [lagging, inStep] = (await cluster.replicasOf(red)) as [ClusterNode, ClusterNode]
  await inStep.redis.config('SET', 'cluster-replica-no-failover', 'yes')
  lagging.hang()
  // What its socket holds already it would still read; from now on it gets nothing.
  await master.redis.call('CLIENT', 'KILL', 'TYPE', 'replica')
  const postMany = (name: string) => Promise.all(Array.from({ length: 20 }, (_, n) => postBoth(`${name}-${n}`)))
  await postMany('lagging')
  // The gateway looks at the replicas again when it reconnects, and must not settle for those it sees then.
  await master.redis.call('CLIENT', 'KILL', 'TYPE', 'normal')
  await postMany('still-lagging')
  const meanwhile = attempts.filter(({ id }) => id.includes('lagging'))
  for (const name of ['lagging-0', 'still-lagging-0']) {
    const first = attempts.find(({ id }) => id === `${name}-${red}`)
    t.match(first, { status: 503, code: 'durability-unknown' })
  }
  t.ok(meanwhile.every(({ stream, status }) => stream === delta || status === 503))

  await master.kill()
  lagging.wake()
  await cluster.promote(lagging, 'takeover')
  await cluster.settled()
  await master.restart()
  await cluster.settled()
  t.equal((await cluster.masterOf(red)).id, lagging.id)
  const inRed = { attempts: attempts.filter(({ stream }) => stream === red) }
  t.same(await misplaced(redis, inRed), [])
  const lost = await misplaced(redis, { attempts: attempts.filter(({ stream }) => stream === delta) })
  t.ok(lost.length > 0, `it lagged indeed: ${lost.length} events that one replica had are gone`)

  for (const { id } of meanwhile.filter(({ stream }) => stream === red)) {
    await until(async () => inRed.attempts.push(await postOnce(port, red, id)) && inRed.attempts.at(-1)?.status === 202)
  }
  t.same(await misplaced(redis, inRed), [], 'sent again, each is stored once')
  await until(async () => unhandled((await storedIn(redis, red)).keys()).length === 0)
  await until(() => isAllDone(port), { what: 'nothing is stuck' })
})

/** Resolves once appends to red wait for so many replicas. */
async function waitsFor(master: ClusterNode, replicas: number): Promise<void> {
  const monitor = master.server.client({ monitor: true })
  let last = 0
  monitor.on('monitor', (_time: string, [name = '', count]: string[]) => {
    if (name.toLowerCase() === 'wait') last = Number(count)
  })
  let n = 0
  const isWaiting = async () => {
    await postOnce(port, red, `look-${n++}`)
    return last === replicas
  }
  await until(isWaiting, { what: `appends wait for ${replicas} replicas` }).finally(() => monitor.disconnect())
}
