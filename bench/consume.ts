/**
 * Consuming: events per second and CPU per event of one process with a handler that does nothing, and beside it, in the
 * same run, the plain loop most programs begin with (XREADGROUP COUNT 1, XACK).
 *
 *   node bench/consume.ts [--check]
 *
 * `--check` exits with 1 unless one process handles at least 100,000 events/s and eight times what the plain loop does.
 */
import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import { createConsumers } from '../src/consume/consumers.ts'
import { type Connections, createConnections } from '../src/streams/connections.ts'
import { fieldsFromEvent } from '../src/streams/entry.ts'
import { createKeys } from '../src/streams/keys.ts'
import { defineTopology, type Log } from '../src/topology.ts'
import { startRedis } from '../test/fixtures/redis.ts'

const ENTRIES = 100_000
const PLAIN_ENTRIES = 10_000
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
  eventsPerSecond: number
  cpuMicrosPerEvent: number
}

async function fill(redis: Redis, entries: number): Promise<void> {
  const append = "for _ = 1, 1000 do redis.call('XADD', KEYS[1], '*', unpack(ARGV)) end"
  for (let sent = 0; sent < entries; sent += 1_000) await redis.eval(append, 1, STREAM, ...fields)
}

async function measured(events: number, run: () => Promise<void>): Promise<Rate> {
  const cpu = process.cpuUsage()
  const begin = performance.now()
  await run()
  const { user, system } = process.cpuUsage(cpu)
  return {
    eventsPerSecond: Math.round(events / ((performance.now() - begin) / 1_000)),
    cpuMicrosPerEvent: Number(((user + system) / events).toFixed(2))
  }
}

async function consumeWithHeadgate(redis: Redis, connections: Connections, entries: number): Promise<Rate> {
  let handled = 0
  const handler = async () => {
    handled += 1
  }
  const topology = defineTopology({ streams: { [STREAM]: { groups: { bench: { handler, concurrency: 512 } } } } })
  const publish = async () => ({ stored: false as const, code: 'store-down' as const })
  await redis.flushall()
  await fill(redis, entries)
  const consumers = createConsumers({ topology, connections, keys: createKeys(''), publish, log })
  const rate = await measured(entries, async () => {
    await consumers.start()
    // Done when Redis has confirmed every ack, not when the last handler was called.
    while (handled < entries || consumers.workers[0]?.inFlight !== 0) await pause(1)
  })
  await consumers.stop(1_000)
  const [pending] = (await redis.xpending(STREAM, 'bench')) as [number]
  if (pending !== 0) throw new Error(`${pending} entries are still pending`)
  return rate
}

async function consumeOneByOne(redis: Redis): Promise<Rate> {
  await redis.flushall()
  await fill(redis, PLAIN_ENTRIES)
  await redis.xgroup('CREATE', STREAM, 'plain', '0')
  return measured(PLAIN_ENTRIES, async () => {
    for (let i = 0; i < PLAIN_ENTRIES; i++) {
      const reply = await redis.xreadgroup('GROUP', 'plain', 'one', 'COUNT', 1, 'STREAMS', STREAM, '>')
      const [[, [[id]]]] = reply as unknown as [[string, [[string]]]]
      await redis.xack(STREAM, 'plain', id)
    }
  })
}

const teardowns: (() => unknown)[] = []
const scope = { teardown: (end: () => unknown) => void teardowns.push(end) } as Pick<Test, 'teardown'>
const server = await startRedis(scope, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
const connections = createConnections({ url: server.url }, log)
await connections.connect()
const redis = server.client()

const plain = await consumeOneByOne(redis)
// Once to warm up: a gateway consumes for days.
await consumeWithHeadgate(redis, connections, PLAIN_ENTRIES)
const headgate = await consumeWithHeadgate(redis, connections, ENTRIES)
const ratio = headgate.eventsPerSecond / plain.eventsPerSecond
console.log(`plain loop, COUNT 1 + XACK   ${plain.eventsPerSecond} events/s   ${plain.cpuMicrosPerEvent} us CPU/event`)
console.log(
  `headgate, one process        ${headgate.eventsPerSecond} events/s   ${headgate.cpuMicrosPerEvent} us CPU/event`
)
console.log(`ratio                        ${ratio.toFixed(1)}`)

await connections.close()
for (const end of teardowns) await end()
if (process.argv.includes('--check')) process.exitCode = headgate.eventsPerSecond >= 100_000 && ratio >= 8 ? 0 : 1
