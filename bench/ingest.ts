/**
 * What taking events in costs: CPU time of the gateway's process beside a bare Fastify route on the same Node in the same
 * run, and events per second beside webdis, where that is installed, with one XADD per request. Redis: a private one,
 * `appendfsync always`.
 *
 *   node bench/ingest.ts [--check]
 *
 * Machines differ by more than a factor of two, and so does one machine from hour to hour. The limit per event is meant
 * for a machine on which the bare route costs 12 µs, and the figure is scaled to that.
 */
import { startRedis } from '../test/fixtures/redis.ts'
import { load, posting } from './load.ts'
import { key, type Program, startProgram } from './programs.ts'
import { durable, median, type Trial, trial } from './trial.ts'
import { startWebdis, xadd } from './webdis.ts'

const bareMicros = 12
const rounds = 15
// Until the engine has compiled what is hot: the larger program takes longer.
const warmUpRounds = 3
const singles = 10_000
const batches = 600
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

async function measured(program: Program, path: '/events' | '/events/batch') {
  run += 1
  const isBatch = path === '/events/batch'
  const requests = isBatch ? batches : singles
  const before = (await program.ask()).cpuMicros
  const request = posting(path, key, isBatch ? batch : order)
  const seconds = await load({ port: program.port, connections: isBatch ? 8 : 64, requests, request })
  const micros = (await program.ask()).cpuMicros - before
  const events = isBatch ? batchSize : 1
  return { perEvent: micros / requests / events, perSecond: (requests * events) / seconds }
}

async function singleXadds(port: number): Promise<number> {
  run += 1
  return singles / (await load({ port, connections: 64, requests: singles, request: (n) => xadd('xadds', fields(n)) }))
}

await trial(async (t: Trial) => {
  const server = await startRedis(t, { args: durable })
  const redis = server.client()
  // One for each kind of request: what the engine learns from one is not what the other needs.
  const gateway = await startProgram(t, 'gateway', server.url)
  const batchGateway = await startProgram(t, 'gateway', server.url)
  const bare = await startProgram(t, 'bare', server.url)
  const webdis = await startWebdis(t, server)
  const single = { cpu: [] as number[], perSecond: [] as number[] }
  const batched = { cpu: [] as number[], perSecond: [] as number[] }
  const bareCpu: number[] = []
  const xadds: number[] = []
  for (let round = -warmUpRounds; round < rounds; round += 1) {
    const one = await measured(gateway, '/events')
    const other = await measured(bare, '/events')
    const hundred = await measured(batchGateway, '/events/batch')
    const plain = webdis === undefined ? Number.NaN : await singleXadds(webdis)
    await redis.flushall()
    if (round < 0) continue
    bareCpu.push(other.perEvent)
    single.cpu.push(one.perEvent)
    single.perSecond.push(one.perSecond)
    batched.cpu.push(hundred.perEvent)
    batched.perSecond.push(hundred.perSecond)
    xadds.push(plain)
  }
  const cpu = 'µs of CPU'
  const bareRoute = median(bareCpu)
  t.figure('bare Fastify route, per request', bareRoute, cpu)
  t.figure('single POST, 64 connections, per event', median(single.cpu), `${cpu}, ${perSecond(single.perSecond)}`)
  t.figure('  against the bare route', median(single.cpu) / bareRoute, '×', { atMost: 1.35 })
  t.figure(`batch of ${batchSize}, per event`, median(batched.cpu), `${cpu}, ${perSecond(batched.perSecond)}`)
  t.figure('  scaled to a bare route of 12 µs', (median(batched.cpu) * bareMicros) / bareRoute, cpu, { atMost: 3 })
  if (webdis === undefined) {
    t.note('webdis is not installed', 'not compared')
    return
  }
  t.figure('webdis, one XADD per request', median(xadds), 'events/s')
  t.figure('  batches of Headgate against it, events/s', median(batched.perSecond) / median(xadds), '×', {
    atLeast: 2.5
  })
})

function perSecond(values: number[]): string {
  return `${Math.round(median(values)).toLocaleString('en')} events/s`
}
