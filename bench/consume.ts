/**
 * Consuming with a handler that does nothing: events per second and CPU per event of one process, and how much faster
 * three consumers are than three of the plain loop most programs begin with (XREADGROUP COUNT 1, XACK), all in one process
 * and one run. Redis: a private one, `appendfsync always`. Linux only.
 *
 *   node bench/consume.ts [--check]
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { createConsumers } from '../src/consume/consumers.ts'
import type { Log } from '../src/log.ts'
import { type Connections, createConnections } from '../src/streams/connections.ts'
import { fieldsFromEvent } from '../src/streams/entry.ts'
import { createKeys } from '../src/streams/keys.ts'
import { defineTopology } from '../src/topology.ts'
import { usageOf } from '../test/fixtures/process-usage.ts'
import { type RedisServer, startRedis } from '../test/fixtures/redis.ts'
import { durable, median, trial } from './trial.ts'

const MANY = 100_000
const FEW = 10_000
const ROUNDS = 5
const CONSUMERS = 3
/** Handlers at once. */
const SLOTS = 2_048
const STREAM = 'bench:order:created'
const log: Log = { debug() {}, info() {}, warn: (fields, message) => console.error(message, fields), error() {} }

const order = {
  orderId: 'ord-4f9c2b',
  userId: 'user-1834',
  amount: 129.9,
  items: [{ productId: 'sku-100', quantity: 3, unitPrice: 43.3 }],
  placedAt: '2026-11-21T08:00:00Z'
}
const fields = fieldsFromEvent({
  id: '5f0e1c52-8a3b-4c57-9d3e-1f2a3b4c5d6e',
  source: '/bench',
  type: 'bench.order.created',
  time: '2026-11-21T08:00:00Z',
  data: JSON.stringify(order)
})

interface Rate {
  perSecond: number
  /** Of this process, which is all of the consumers. */
  cpuMicros: number
  /** Of Redis, without what the kernel does for its disk. */
  redisMicros: number
}

async function fill(redis: Redis, entries: number): Promise<void> {
  const append = "for _ = 1, 1000 do redis.call('XADD', KEYS[1], '*', unpack(ARGV)) end"
  await redis.flushall()
  for (let sent = 0; sent < entries; sent += 1_000) await redis.eval(append, 1, STREAM, ...fields)
}

async function measured(server: RedisServer, events: number, run: () => Promise<void>): Promise<Rate> {
  const own = process.cpuUsage()
  const redis = (await usageOf(server.pid)).cpuMicros
  const begin = performance.now()
  await run()
  const seconds = (performance.now() - begin) / 1_000
  const { user, system } = process.cpuUsage(own)
  const redisMicros = (await usageOf(server.pid)).cpuMicros - redis
  return { perSecond: events / seconds, cpuMicros: (user + system) / events, redisMicros: redisMicros / events }
}

/** From the start of so many consumers of one group until Redis has confirmed every ack. */
async function consumeWithHeadgate(stage: Stage, entries: number, processes: number, concurrency: number) {
  const { redis, server, connections } = stage
  let handled = 0
  const handler = async () => {
    handled += 1
  }
  const topology = defineTopology({ streams: { [STREAM]: { groups: { bench: { handler, concurrency } } } } })
  const publish = async () => ({ stored: false as const, code: 'store-down' as const })
  await fill(redis, entries)
  const all = Array.from({ length: processes }, () =>
    createConsumers({ topology, connections, keys: createKeys(''), publish, log })
  )
  const rate = await measured(server, entries, async () => {
    await Promise.all(all.map((consumers) => consumers.start()))
    while (handled < entries || all.some(({ workers }) => workers[0]?.inFlight !== 0)) await pause(1)
  })
  await Promise.all(all.map((consumers) => consumers.stop(1_000)))
  const [pending] = (await redis.xpending(STREAM, 'bench')) as [number]
  if (pending !== 0) throw new Error(`${pending} entries are still pending`)
  return rate
}

/** The loop most programs begin with, in so many consumers with a connection each. */
async function consumeOneByOne({ redis, server }: Stage, consumers: number): Promise<Rate> {
  await fill(redis, FEW)
  await redis.xgroup('CREATE', STREAM, 'plain', '0')
  return measured(server, FEW, async () => {
    const loop = async (name: string) => {
      const own = server.client()
      for (;;) {
        const reply = await own.xreadgroup('GROUP', 'plain', name, 'COUNT', 1, 'STREAMS', STREAM, '>')
        if (reply === null) break
        const [[, [[id]]]] = reply as unknown as [[string, [[string]]]]
        await own.xack(STREAM, 'plain', id)
      }
      own.disconnect()
    }
    await Promise.all(Array.from({ length: consumers }, (_, n) => loop(`c${n}`)))
  })
}

interface Stage {
  redis: Redis
  server: RedisServer
  connections: Connections
}

await trial(async (t) => {
  const server = await startRedis(t, { args: durable })
  const connections = createConnections({ url: server.url }, log)
  await connections.connect()
  t.teardown(() => connections.close())
  const stage = { redis: server.client(), server, connections }
  // A gateway consumes for days: the first rounds warm up.
  for (let n = 0; n < 3; n += 1) await consumeWithHeadgate(stage, MANY, 1, SLOTS)
  const rates: Rate[] = []
  for (let n = 0; n < ROUNDS; n += 1) rates.push(await consumeWithHeadgate(stage, MANY, 1, SLOTS))
  const of = (part: keyof Rate) => median(rates.map((rate) => rate[part]))
  t.figure(`${MANY / 1_000},000 events, one process`, of('perSecond'), 'events/s', { atLeast: 100_000 })
  t.figure('  per event', of('cpuMicros'), 'µs of CPU')
  t.figure('  per event, Redis', of('redisMicros'), 'µs of CPU')

  const ratios: number[] = []
  for (let n = 0; n < ROUNDS; n += 1) {
    const plain = await consumeOneByOne(stage, CONSUMERS)
    const own = await consumeWithHeadgate(stage, FEW, CONSUMERS, Math.floor(SLOTS / CONSUMERS))
    ratios.push(own.perSecond / plain.perSecond)
    if (n > 0) continue
    t.figure('10,000 events, three consumers', own.perSecond, `events/s, ${own.cpuMicros.toFixed(1)} µs of CPU each`)
    t.figure('  COUNT 1 and XACK', plain.perSecond, `events/s, ${plain.cpuMicros.toFixed(1)} µs of CPU each`)
  }
  t.figure('  times as fast', median(ratios), '×', { atLeast: 8 })
})
