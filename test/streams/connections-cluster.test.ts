import { readFileSync } from 'node:fs'
import t from 'tap'
import { createConsumers } from '../../src/consume/consumers.ts'
import { createConnections } from '../../src/streams/connections.ts'
import { createKeys } from '../../src/streams/keys.ts'
import { createOperations } from '../../src/streams/operations.ts'
import { slotOf } from '../../src/streams/slots.ts'
import { startCluster } from '../fixtures/cluster.ts'
import type { ClusterNode } from '../fixtures/cluster-node.ts'
import { quietLog, testStreams } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

const cluster = await startCluster(t, { masters: 3 })
const idOf = (redis: { cluster: (command: 'MYID') => Promise<unknown> }) => redis.cluster('MYID').then(String)
const quick = { commandTimeoutMs: 600 }
const fewPartitions = { partitions: 6, partitionKey: (event: { id: string }) => event.id }

t.test('a key is counted to the slot that Redis counts it to', async (t) => {
  const keys = [
    '',
    'a',
    'orders:order:created',
    'p:{p:s}:dead:g',
    '{}a',
    '{}{b}',
    'a{b',
    'a}b{c}',
    'a{b{c}d}e',
    'größe',
    '{größe}x'
  ]
  for (const key of keys) t.equal(slotOf(key), await cluster.slotOf(key), key)
})

t.test('a connection is on the master of its slot, and follows it, also when nobody sends anything', async (t) => {
  const connections = createConnections({ url: cluster.url }, quietLog)
  t.teardown(() => connections.close())
  const [key, companion] = ['moving:stream', '{moving:stream}:seen:x']
  const sender = connections.append(key)
  const idle = connections.openReader('idle', key)
  t.teardown(() => idle.disconnect())
  t.equal(connections.append(companion), sender)
  t.not(connections.append('another:stream'), sender)
  await Promise.all([connections.connect(), idle.connect()])
  const from = await cluster.masterOf(key)
  t.equal(await idOf(sender), from.id)
  await sender.set(key, 'here')

  const to = cluster.nodes.find((node) => node !== from) as ClusterNode
  await cluster.migrateSlot(slotOf(key), to, { minMs: 1 })
  const answers: string[] = []
  await until(async () => {
    const answer = await sender.get(key).catch((error: Error) => error.message.split(' ')[0] ?? '')
    answers.push(String(answer))
    return answer === 'here'
  })
  t.ok(answers[0] === 'MOVED' || answers[0]?.startsWith('Stream'), `refused, not redirected: ${answers[0]}`)
  t.equal(await idOf(sender), to.id)
  await until(async () => (await idOf(idle)) === to.id, { what: 'the idle one follows' })
})

t.test('the rights of README are enough on a cluster', async (t) => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  const [, rule = ''] = /^ACL SETUSER headgate (.+)$/m.exec(readme) ?? []
  const given = rule.replace('~shop:*', '~*').split(' ')
  for (const { redis } of cluster.nodes) {
    await redis.call('ACL', 'SETUSER', 'headgate', 'reset', ...given)
    await redis.call('ACL', 'LOG', 'RESET')
  }
  const handled: string[] = []
  const group = { handler: async ({ id }: { id: string }) => void handled.push(id) }
  const streams = await testStreams(
    t,
    cluster.url.replace('://', '://headgate:secret@'),
    {
      allowed: { ...fewPartitions, groups: { group, ordered: { ...group, ordered: true } } },
      waiting: { durability: 'replicated', replicas: 'all' }
    },
    { commandTimeoutMs: 500 }
  )
  const { topology, connections, keys } = streams
  const publish = async () => ({ stored: false, code: 'store-down' }) as const
  const consumers = createConsumers({ topology, connections, keys, publish, log: quietLog })
  await consumers.start()
  await streams.post('allowed', [1, 2, 3, 4, 5, 6], { known: true })
  t.match(await streams.post('waiting', [1]), [{ refusal: { code: 'durability-unknown' } }], 'there are no replicas')
  await until(() => handled.length === 12)
  await streams.lag()
  await consumers.stop(500)
  for (const { redis } of cluster.nodes) t.same(await redis.call('ACL', 'LOG'), [])
})

t.test('while a node hangs, the partitions on the others go on being handled in their order', async (t) => {
  const handled: string[] = []
  const group = { ordered: true, handler: async ({ id }: { id: string }) => void handled.push(id) }
  const streams = await testStreams(t, cluster.url, { hung: { ...fewPartitions, groups: { group } } }, quick)
  const { topology, connections, keys } = streams
  const publish = async () => ({ stored: false, code: 'store-down' }) as const
  const consumers = createConsumers({ topology, connections, keys, publish, log: quietLog })
  await consumers.start()
  t.teardown(() => consumers.stop(0))
  const numbers = Array.from({ length: 24 }, (_, n) => n)
  await streams.post('hung', numbers)
  await until(() => handled.length === numbers.length)

  const home = await cluster.masterOf(keys.of('hung').stream)
  const node = cluster.nodes.find((each) => each !== home) as ClusterNode
  node.server.pause()
  t.teardown(() => node.server.resume())
  const results = await Promise.all(numbers.map(async (n) => (await streams.post('hung', [100 + n]))[0]))
  const stored = numbers.filter((n) => results[n]?.stored).map((n) => `n${100 + n}`)
  t.ok(
    stored.length > 0 && stored.length < numbers.length,
    `${stored.length} of ${numbers.length} are stored meanwhile`
  )
  // Below the 5 s after which a command that got no answer is given up.
  await until(() => stored.every((id) => handled.includes(id)), { deadlineMs: 4_000 })
  node.server.resume()
  const all = async () => (await streams.lag()).every(({ unread, pending }) => unread + pending === 0)
  await until(all, { what: 'nothing is stuck' })
  await consumers.stop(500)
  await cluster.settled()
})

t.test('a node that is away when the gateway starts takes only its own streams with it', async (t) => {
  const names = ['away:one:x', 'away:two:x', 'away:three:x', 'away:four:x', 'away:five:x', 'away:six:x']
  const masters = await Promise.all(names.map((name) => cluster.masterOf(name)))
  const away = masters[0] as ClusterNode
  const lost = names.filter((_, n) => masters[n] === away)
  await away.server.kill('SIGKILL')
  const streams = await testStreams(
    t,
    cluster.url,
    Object.fromEntries(names.map((name) => [name, { groups: { g: { external: true } } }])),
    {
      ...quick,
      keys: createKeys('')
    }
  )
  t.match(streams.health(), { redis: 'down', down: lost })
  for (const name of names) {
    const wanted = lost.includes(name) ? { refusal: { code: 'store-down' } } : { stored: true }
    t.match(await streams.post(name, [1]), [wanted], name)
  }
  const { items, unreachable } = await streams.lagOfAll()
  const there = names.filter((name) => !lost.includes(name))
  t.same([unreachable, items.map(({ stream }) => stream)], [lost, there])
  const operations = createOperations({ ...streams, log: quietLog })
  const overviews = await operations.overviewOfAll()
  t.same([overviews.unreachable, overviews.items.map(({ target }) => target.name)], [lost, there])
  await away.server.start()
  await cluster.settled()
  for (const name of lost) await until(async () => (await streams.post(name, [2]))[0]?.stored, { what: name })
  t.match(streams.health(), { redis: 'ok', down: [] })
})
