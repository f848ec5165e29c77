import { type ChildProcess, fork } from 'node:child_process'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createConnections } from '../../src/streams/connections.ts'
import { eventFromFields } from '../../src/streams/entry.ts'
import { createKeys, type Keys } from '../../src/streams/keys.ts'
import { physicalName } from '../../src/streams/partitions.ts'
import type { Publication } from '../../src/streams/publisher.ts'
import { createStreams, type Streams } from '../../src/streams/streams.ts'
import type { StreamDefinition } from '../../src/topology.ts'
import { cartsOnly } from '../fixtures/cart-process.ts'
import { testRedis } from '../fixtures/redis.ts'
import { quietLog } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

const PARTITIONS = 8
const USERS = 100
const GROUP = 'cart_projectors'
const staleAfterMs = 1_000

interface CartScene {
  redis: Redis
  keys: Keys
  stream: StreamDefinition
  streams: Streams
  spawn: () => Promise<ChildProcess>
  publish: (count: number) => Promise<void>
  /** Nothing is unread or pending. */
  settled: () => Promise<unknown>
}

async function cartScene(t: Test): Promise<CartScene> {
  const { redis, url, prefix } = await testRedis(t)
  const keys = createKeys(prefix)
  const topology = cartsOnly(staleAfterMs)
  const stream = topology.streams.get('carts:cart:events') as StreamDefinition
  const connections = createConnections({ url }, quietLog)
  await connections.connect()
  const streams = createStreams({
    topology,
    connections,
    keys,
    queueLimit: 20_000,
    commandTimeoutMs: 5_000,
    log: quietLog
  })
  await streams.start()
  const children: ChildProcess[] = []
  t.teardown(async () => {
    for (const child of children) child.kill('SIGKILL')
    await streams.stop()
    await connections.close()
  })
  return {
    redis,
    keys,
    stream,
    streams,
    async spawn() {
      const options = JSON.stringify({ url, prefix, staleAfterMs })
      const file = new URL('../fixtures/cart-process.ts', import.meta.url)
      const child = fork(file, [options], {
        execPath: process.execPath,
        execArgv: [],
        stdio: ['ignore', 'ignore', 'ignore', 'ipc']
      })
      children.push(child)
      await new Promise((resolve) => child.once('message', resolve))
      return child
    },
    async publish(count) {
      const results = await streams.publish(Array.from({ length: count }, () => randomEvent(stream)))
      if (!results.every(({ stored }) => stored)) throw new Error('an event was refused')
    },
    settled: () =>
      until(async () => (await streams.lag()).every(({ unread, pending }) => unread === 0 && pending === 0), {
        deadlineMs: 60_000,
        what: 'all cart events are handled'
      })
  }
}

let published = 0

function randomEvent(stream: StreamDefinition): Publication {
  const pick = (n: number) => Math.floor(Math.random() * n)
  const productId = `p${pick(12)}`
  const dice = Math.random()
  const [type, data] =
    dice < 0.6
      ? ['carts.item.added', { productId, quantity: 1 + pick(5) }]
      : dice < 0.75
        ? ['carts.item.quantity-changed', { productId, quantity: pick(6) }]
        : dice < 0.95
          ? ['carts.item.removed', { productId }]
          : ['carts.cart.checked-out', {}]
  published += 1
  const subject = `u${pick(USERS)}`
  return {
    stream,
    event: { id: `e${published}`, source: '/test', type: String(type), subject, data: JSON.stringify(data) }
  }
}

/** What the carts must be, from the streams alone. */
async function model({ redis, keys, stream }: CartScene): Promise<Map<string, Record<string, string>>> {
  const carts = new Map<string, Record<string, string>>()
  for (let partition = 0; partition < PARTITIONS; partition += 1) {
    for (const [entryId, fields] of await redis.xrange(
      keys.of(physicalName(stream.name, partition)).stream,
      '-',
      '+'
    )) {
      const { subject = '', type, data = '{}' } = eventFromFields(fields)
      const { productId, quantity } = JSON.parse(data) as { productId: string; quantity: number }
      let cart = carts.get(subject) ?? {}
      const item = `item:${productId}`
      if (type === 'carts.item.added') cart[item] = String(Number(cart[item] ?? 0) + quantity)
      else if (type === 'carts.item.quantity-changed' && quantity > 0) cart[item] = String(quantity)
      else if (type === 'carts.cart.checked-out') cart = {}
      else delete cart[item]
      carts.set(subject, {
        ...cart,
        status: type === 'carts.cart.checked-out' ? 'checked-out' : 'open',
        appliedId: entryId
      })
    }
  }
  return carts
}

async function kept({ redis, keys }: CartScene): Promise<Map<string, Record<string, string>>> {
  const carts = new Map<string, Record<string, string>>()
  for (let user = 0; user < USERS; user += 1) {
    const cart = await redis.hgetall(keys.own(`cart:current:u${user}`))
    if (Object.keys(cart).length > 0) carts.set(`u${user}`, cart)
  }
  return carts
}

/** Every cart as the bytes Redis would write for it. */
async function bytes({ redis, keys }: CartScene): Promise<string[]> {
  const dumps = Array.from({ length: USERS }, (_, user) => redis.dumpBuffer(keys.own(`cart:current:u${user}`)))
  return (await Promise.all(dumps)).map((dump) => dump?.toString('hex') ?? '')
}

const plain = (carts: Map<string, Record<string, string>>) =>
  Array.from(carts, ([user, cart]) => `${user} ${JSON.stringify(Object.entries(cart).toSorted())}`).toSorted()

async function rebuilt({ streams, stream }: CartScene, id: string) {
  const status = () => streams.rebuilds.status(stream, GROUP)
  await until(async () => (await status()).every((partition) => partition.state === 'done' && partition.id === id), {
    deadlineMs: 60_000,
    what: 'every partition is rebuilt'
  })
  return status()
}

t.test('ten thousand cart events, redelivered, killed for and rebuilt', { timeout: 150_000 }, async (t) => {
  const scene = await cartScene(t)
  const { redis, keys, stream, streams } = scene
  let processes = [await scene.spawn(), await scene.spawn()]
  const replace = async (victim: ChildProcess) => {
    victim.kill('SIGKILL')
    processes = [...processes.filter((child) => child !== victim), await scene.spawn()]
  }

  for (let n = 0; n < 20; n += 1) {
    await scene.publish(500)
    if (n === 7 || n === 14) await replace(processes[0] as ChildProcess)
  }
  await scene.settled()
  for (let partition = 0; partition < PARTITIONS; partition += 1)
    await redis.xgroup('SETID', keys.of(physicalName(stream.name, partition)).stream, GROUP, '0')
  await scene.settled()
  const expected = await model(scene)
  t.equal(expected.size, USERS)
  t.same(plain(await kept(scene)), plain(expected), 'the carts equal a model of the stream')

  const before = await bytes(scene)
  await redis.hset(keys.own('cart:current:u1'), 'item:p1', 999, 'junk', 1)
  await redis.del(keys.own('cart:current:u2'))
  const first = await rebuilt(scene, await streams.rebuilds.request(stream, GROUP))
  t.equal(
    first.reduce((sum, { events = 0 }) => sum + events, 0),
    10_000
  )
  t.same(await bytes(scene), before, 'a rebuild gives the same bytes, also where a cart was damaged')

  const second = await streams.rebuilds.request(stream, GROUP)
  await until(async () => (await redis.keys(`${keys.prefix}*:fresh:*`)).length > 0, { what: 'it is under way' })
  for (const child of processes) child.kill('SIGKILL')
  t.ok(
    (await streams.rebuilds.status(stream, GROUP)).some(({ state }) => state === 'wanted'),
    'and cut off half-way'
  )
  processes = [await scene.spawn(), await scene.spawn()]
  await rebuilt(scene, second)
  t.same(await bytes(scene), before, 'the next owners end it, to the same bytes')

  const third = await streams.rebuilds.request(stream, GROUP)
  const writing = (async () => {
    for (let n = 0; n < 40; n += 1) await scene.publish(20)
  })()
  await Promise.all([rebuilt(scene, third), writing])
  await scene.publish(200)
  await scene.settled()
  t.same(plain(await kept(scene)), plain(await model(scene)), 'with writers active, the carts equal the model')
  const live = await bytes(scene)
  await rebuilt(scene, await streams.rebuilds.request(stream, GROUP))
  t.same(await bytes(scene), live, 'and what was projected live equals what is rebuilt, byte by byte')
})

t.test('a dead letter is left out of a rebuild and reported', async (t) => {
  const scene = await cartScene(t)
  const { redis, keys, stream, streams } = scene
  const event = (id: string, quantity: number): Publication => {
    const data = JSON.stringify({ productId: 'p', quantity })
    return { stream, event: { id, source: '/test', type: 'carts.item.added', subject: 'u1', data } }
  }
  await scene.spawn()
  const [, bad] = [await streams.publish([event('a', 1)]), await streams.publish([event('b', 2)])]
  await scene.settled()
  const [result] = bad
  if (!result?.stored) throw new Error('refused')
  await redis.xadd(keys.of(result.stream).group(GROUP).dead, '*', 'dead.entryId', result.entryId, 'id', 'b')
  const partitions = await rebuilt(scene, await streams.rebuilds.request(stream, GROUP))
  const own = partitions.find((partition) => partition.stream === result.stream)
  t.match(own, { events: 1, dead: 1, deadEntryIds: [result.entryId] })
  t.equal(await redis.hget(keys.own('cart:current:u1'), 'item:p'), '1')
})
