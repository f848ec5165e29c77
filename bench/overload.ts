/**
 * Ten times the rate that the gateway can carry, for 30 s: how long accepted requests take beside those at half that
 * rate, what its memory does, and whether exactly the accepted events are stored. Redis: a private one, `appendfsync
 * always`. Linux only.
 *
 *   node bench/overload.ts [--check]
 *
 * One machine cannot offer ten times what a gateway carries of usual requests, so the events here are costly to check
 * (a few milliseconds). Half load is measured before and after, and both count. Memory: a line fitted to the resident
 * memory in the last 20 s.
 */
import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { testKeys } from '../test/fixtures/app.ts'
import { startGateway } from '../test/fixtures/gateway.ts'
import { usageOf } from '../test/fixtures/process-usage.ts'
import { startRedis } from '../test/fixtures/redis.ts'
import { costlyData } from '../test/fixtures/topology.ts'
import { closedLoop, posting } from './load.ts'
import { type OpenLoadResult, openLoad } from './open-loop.ts'
import { startFlags } from './start-flags.ts'
import { durable, percentile, type Trial, trial } from './trial.ts'

const MB = 1_000_000
const stream = 'heavy:thing:done'
const idOf = (name: string, n: number) => `${name}-${String(n).padStart(7, '0')}`
const request = (name: string) =>
  posting('/events', 'publisher', (n) =>
    JSON.stringify({ type: 'heavy.thing.done', id: idOf(name, n), source: '/bench', data: costlyData })
  )

/** What a closed loop gets through: every connection sends its next request when the last was answered. */
async function sustainableRate(t: Trial, port: number): Promise<number> {
  const send = await closedLoop(t, port, 4)
  await send(1_000, request('warm-up'))
  const requests = 2_000
  return requests / (await send(requests, request('closed')))
}

interface Sample {
  at: number
  rss: number
}

async function memoryDuring(pid: number, run: Promise<unknown>): Promise<Sample[]> {
  const samples: Sample[] = []
  let running = true
  run.finally(() => {
    running = false
  })
  while (running) {
    samples.push({ at: performance.now() / 1_000, rss: (await usageOf(pid)).rss })
    await pause(250)
  }
  return samples
}

/** Bytes per second by least squares over the last `seconds`. */
function slopeOf(samples: Sample[], seconds: number): number {
  const last = samples.at(-1)?.at ?? 0
  const part = samples.filter(({ at }) => at >= last - seconds)
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const at = mean(part.map((sample) => sample.at))
  const rss = mean(part.map((sample) => sample.rss))
  const along = part.reduce((sum, sample) => sum + (sample.at - at) * (sample.rss - rss), 0)
  return along / part.reduce((sum, sample) => sum + (sample.at - at) ** 2, 0)
}

async function storedIds(redis: Redis, name: string): Promise<Set<string>> {
  const ids = new Set<string>()
  for (let from = '-'; ; ) {
    const entries = await redis.xrange(stream, from, '+', 'COUNT', 10_000)
    for (const [, fields] of entries) if (fields[1]?.startsWith(`${name}-`)) ids.add(fields[1])
    const last = entries.at(-1)
    if (last === undefined) return ids
    from = `(${last[0]}`
  }
}

/** Seconds of CPU: of the machine, all that was busy; of processes, their own. */
async function cpuSeconds(gateway: number, redis: number) {
  const [, ...ticks] = (await readFile('/proc/stat', 'latin1')).split('\n', 1)[0]?.split(/ +/).map(Number) ?? []
  const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0)
  const own = process.cpuUsage()
  return {
    busy: (ticks.slice(0, 8).reduce((sum, value) => sum + value, 0) - idle) / 100,
    gateway: (await usageOf(gateway)).cpuMicros / 1e6,
    redis: (await usageOf(redis)).cpuMicros / 1e6,
    client: (own.user + own.system) / 1e6
  }
}

function report(t: Trial, name: string, perSecond: number, result: OpenLoadResult, seconds: number): void {
  const answers = [...result.statuses].map(([status, count]) => `${status}: ${count}`).join(', ')
  const of = (share: number) => percentile(result.latencies, share).toFixed(1)
  const rates = `${Math.round(perSecond)}/s offered, ${Math.round(result.accepted.length / seconds)}/s accepted`
  t.note(name, `${rates}, p50 ${of(0.5)} ms, p99 ${of(0.99)} ms (${answers}, never sent: ${result.given})`)
}

await trial(async (t) => {
  const server = await startRedis(t, { args: durable })
  const { port, pid } = await startGateway(t, { REDIS_URL: server.url }, testKeys, startFlags)
  const sustainable = await sustainableRate(t, port)
  t.figure('sustainable rate', sustainable, 'events/s')
  const atHalf = async (name: string) => {
    const half = { perSecond: sustainable / 2, seconds: 10, connections: 400 }
    const result = await openLoad({ port, ...half, request: request(name) })
    report(t, 'half of it', half.perSecond, result, half.seconds)
    return result.latencies
  }
  const before = await atHalf('before')
  const ten = { perSecond: sustainable * 10, seconds: 30, connections: 400 }
  const cpuBefore = await cpuSeconds(pid, server.pid)
  const running = openLoad({ port, ...ten, request: request('ten') })
  const samples = await memoryDuring(pid, running)
  const atTen = await running
  const cpuAfter = await cpuSeconds(pid, server.pid)
  report(t, 'ten times', ten.perSecond, atTen, ten.seconds)
  const half = before.concat(await atHalf('after'))
  const share = (of: keyof typeof cpuAfter) => cpuAfter[of] - cpuBefore[of]
  const others = share('busy') - share('gateway') - share('redis') - share('client')
  t.note(
    '  CPU time meanwhile',
    `gateway ${share('gateway').toFixed(1)} s, client ${share('client').toFixed(1)} s, Redis ${share('redis').toFixed(1)} s, other programs ${Math.max(0, others).toFixed(1)} s`
  )
  t.figure('p99 at ten times against half', percentile(atTen.latencies, 0.99) / percentile(half, 0.99), '×', {
    atMost: 10
  })
  t.figure('growth of memory', slopeOf(samples, 20) / MB, 'MB/s', { below: 1 })
  t.figure('  memory at the end', (samples.at(-1)?.rss ?? 0) / MB, 'MB')
  const refusals = [...atTen.statuses].filter(([status]) => ![202, 429, 503].includes(status))
  t.figure(
    'answers beside 202, 429 and 503',
    refusals.reduce((sum, [, count]) => sum + count, 0),
    '',
    { atMost: 0 }
  )
  const stored = await storedIds(server.client(), 'ten')
  const accepted = new Set(atTen.accepted.map((n) => idOf('ten', n)))
  t.figure('accepted and not stored, or the reverse', stored.symmetricDifference(accepted).size, '', {
    atMost: 0
  })
})
