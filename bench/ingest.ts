/**
 * What taking events in costs: CPU time of the gateway's process beside a bare Fastify route on the same Node in the same
 * run, and events per second beside webdis, where that is installed, with one XADD per request. Redis: a private one,
 * `appendfsync always`.
 *
 *   node bench/ingest.ts [--check]
 *
 * Machines differ by more than a factor of two, and so does one machine from hour to hour, or within seconds. So what is
 * compared takes turns of a fraction of a second, on connections that stay open. The limit per event is meant for a machine
 * on which the bare route costs 12 µs, and the figure is scaled to that.
 */
import { startRedis } from '../test/fixtures/redis.ts'
import { closedLoop, posting, type RequestOf } from './load.ts'
import { key, type Program, startProgram } from './programs.ts'
import { durable, median, type Trial, trial } from './trial.ts'
import { startWebdis, xadd } from './webdis.ts'

const bareMicros = 12
const rounds = 25
// Until the engine has compiled what is hot: the larger program takes longer.
const warmUpRounds = 3
// Of each kind in each round.
const turns = 3
// In each turn.
const singles = 3_400
const batches = 340
const batchSize = 100

let run = 0
const dataOf = (id: string) =>
  `{"orderId":"${id}","userId":"user-1834","amount":19.9,"currency":"EUR","items":[{"productId":"product-17","quantity":3,"unitPrice":19.9}],"placedAt":"2026-01-01T12:00:00Z"}`
const order = (n: number) =>
  `{"id":"${run}-${n}","source":"/bench","type":"orders.order.created","data":${dataOf(`${run}-${n}`)}}`
const batch = (n: number) => `[${Array.from({ length: batchSize }, (_, i) => order(n * batchSize + i)).join(',')}]`
const fields = (n: number) => {
  const id = `${run}-${n}`
  const time = '2026-01-01T12:00:00.000Z'
  return ['id', id, 'source', '/bench', 'type', 'orders.order.created', 'time', time, 'data', dataOf(id)]
}

interface Cost {
  micros: number
  seconds: number
  events: number
}

/** What is compared with others: what it costs per round, to which each turn adds. */
interface Contender {
  costs: Cost[]
  takeTurn: () => Promise<void>
}

/** `requests` in each turn, of so many events. Without a program to `ask`, its CPU time is NaN. */
async function contender(
  t: Trial,
  { port, ask }: Pick<Program, 'port'> & Partial<Program>,
  connections: number,
  request: RequestOf,
  requests: number,
  events = 1
): Promise<Contender> {
  const send = await closedLoop(t, port, connections)
  const cpuMicros = async () => (await ask?.())?.cpuMicros ?? Number.NaN
  const costs: Cost[] = []
  const takeTurn = async () => {
    run += 1
    const cost = costs.at(-1) as Cost
    const before = await cpuMicros()
    cost.seconds += await send(requests, request)
    cost.micros += (await cpuMicros()) - before
    cost.events += requests * events
  }
  return { costs, takeTurn }
}

await trial(async (t: Trial) => {
  // Emptied every few seconds, Redis would see its file doubled, and rewrite it, far more often than in use.
  const server = await startRedis(t, { args: [...durable, '--auto-aof-rewrite-percentage', '0'] })
  const redis = server.client()
  const gateway = await startProgram(t, 'gateway', server.url)
  // One for each kind of request: what the engine learns from one is not what the other needs.
  const batchGateway = await startProgram(t, 'gateway', server.url)
  const bareRoute = await startProgram(t, 'bare', server.url)
  const port = await startWebdis(t, server)
  const single = await contender(t, gateway, 64, posting('/events', key, order), singles)
  const bare = await contender(t, bareRoute, 64, posting('/events', key, order), singles)
  const batched = await contender(t, batchGateway, 16, posting('/events/batch', key, batch), batches, batchSize)
  const webdis = port && (await contender(t, { port }, 64, (n) => xadd('xadds', fields(n)), singles))
  const contenders = [single, bare, batched, ...(webdis ? [webdis] : [])]

  for (let round = -warmUpRounds; round < rounds; round += 1) {
    for (const { costs } of contenders) costs.push({ micros: 0, seconds: 0, events: 0 })
    for (let turn = 0; turn < turns; turn += 1) for (const { takeTurn } of contenders) await takeTurn()
    await redis.flushall()
  }
  const each = ({ costs }: Contender, value: (cost: Cost) => number) => median(costs.slice(warmUpRounds).map(value))
  const micros = (contender: Contender) => each(contender, (cost) => cost.micros / cost.events)
  const perSecond = (contender: Contender) => each(contender, (cost) => cost.events / cost.seconds)
  const rate = (contender: Contender) => `${Math.round(perSecond(contender)).toLocaleString('en')} events/s`

  const cpu = 'µs of CPU'
  t.figure('bare Fastify route, per request', micros(bare), cpu)
  t.figure('single POST, 64 connections, per event', micros(single), `${cpu}, ${rate(single)}`)
  t.figure('  against the bare route', micros(single) / micros(bare), '×', { atMost: 1.35 })
  t.figure(`batch of ${batchSize}, per event`, micros(batched), `${cpu}, ${rate(batched)}`)
  t.figure('  scaled to a bare route of 12 µs', (micros(batched) * bareMicros) / micros(bare), cpu, { atMost: 3 })
  if (!webdis) {
    t.note('webdis is not installed', 'not compared')
    return
  }
  t.figure('webdis, one XADD per request', perSecond(webdis), 'events/s')
  t.figure('  batches of Headgate against it, events/s', perSecond(batched) / perSecond(webdis), '×', {
    atLeast: 2.5
  })
})
