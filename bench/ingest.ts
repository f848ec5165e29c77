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
import { type ClosedLoop, closedLoop, posting } from './load.ts'
import { key, type Program, startProgram } from './programs.ts'
import { durable, median, type Trial, trial } from './trial.ts'
import { startWebdis, xadd } from './webdis.ts'

const bareMicros = 12
const rounds = 15
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

/** One program, one kind of request, and a function that sends so many of them and adds what they cost. */
async function measured(t: Trial, program: Program, path: '/events' | '/events/batch') {
  const isBatch = path === '/events/batch'
  const send = await closedLoop(t, program.port, isBatch ? 8 : 64)
  return async (cost: Cost): Promise<void> => {
    run += 1
    const before = (await program.ask()).cpuMicros
    cost.seconds += await send(isBatch ? batches : singles, posting(path, key, isBatch ? batch : order))
    cost.micros += (await program.ask()).cpuMicros - before
    cost.events += isBatch ? batches * batchSize : singles
  }
}

/** Webdis says nothing of its CPU time. */
function measuredXadds(send: ClosedLoop) {
  return async (cost: Cost): Promise<void> => {
    run += 1
    cost.seconds += await send(singles, (n) => xadd('xadds', fields(n)))
    cost.events += singles
  }
}

await trial(async (t: Trial) => {
  // Emptied every few seconds, Redis would see its file doubled, and rewrite it, far more often than in use.
  const server = await startRedis(t, { args: [...durable, '--auto-aof-rewrite-percentage', '0'] })
  const redis = server.client()
  const gateway = await startProgram(t, 'gateway', server.url)
  // One for each kind of request: what the engine learns from one is not what the other needs.
  const batchGateway = await startProgram(t, 'gateway', server.url)
  const bare = await startProgram(t, 'bare', server.url)
  const webdis = await startWebdis(t, server)
  const kinds = {
    single: await measured(t, gateway, '/events'),
    bare: await measured(t, bare, '/events'),
    batch: await measured(t, batchGateway, '/events/batch'),
    ...(webdis !== undefined && { webdis: measuredXadds(await closedLoop(t, webdis, 64)) })
  }
  type Kind = 'single' | 'bare' | 'batch' | 'webdis'
  const costs: Record<Kind, Cost[]> = { single: [], bare: [], batch: [], webdis: [] }
  for (let round = -warmUpRounds; round < rounds; round += 1) {
    for (const kind of Object.keys(kinds) as Kind[]) costs[kind].push({ micros: 0, seconds: 0, events: 0 })
    for (let turn = 0; turn < turns; turn += 1) {
      for (const [kind, spend] of Object.entries(kinds)) await spend(costs[kind as Kind].at(-1) as Cost)
    }
    await redis.flushall()
  }
  const each = (kind: Kind, value: (cost: Cost) => number) => median(costs[kind].slice(warmUpRounds).map(value))
  const micros = (kind: Kind) => each(kind, (cost) => cost.micros / cost.events)
  const perSecond = (kind: Kind) => each(kind, (cost) => cost.events / cost.seconds)
  const rate = (kind: Kind) => `${Math.round(perSecond(kind)).toLocaleString('en')} events/s`

  const cpu = 'µs of CPU'
  t.figure('bare Fastify route, per request', micros('bare'), cpu)
  t.figure('single POST, 64 connections, per event', micros('single'), `${cpu}, ${rate('single')}`)
  t.figure('  against the bare route', micros('single') / micros('bare'), '×', { atMost: 1.35 })
  t.figure(`batch of ${batchSize}, per event`, micros('batch'), `${cpu}, ${rate('batch')}`)
  t.figure('  scaled to a bare route of 12 µs', (micros('batch') * bareMicros) / micros('bare'), cpu, { atMost: 3 })
  if (webdis === undefined) {
    t.note('webdis is not installed', 'not compared')
    return
  }
  t.figure('webdis, one XADD per request', perSecond('webdis'), 'events/s')
  t.figure('  batches of Headgate against it, events/s', perSecond('batch') / perSecond('webdis'), '×', {
    atLeast: 2.5
  })
})
