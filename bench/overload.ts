/**
 * Ten times the rate that the gateway can carry, for 30 s: how long accepted requests take beside those at half that
 * rate, what its memory does, and whether exactly the accepted events are stored. Redis: a private one, `appendfsync
 * always`. Linux only.
 *
 *   node bench/overload.ts [--check]
 *
 * One machine cannot offer ten times what a gateway carries of usual requests, so the events here are costly to check
 * (a few milliseconds). `--check` exits with 1 unless, under overload, the p99 of the accepted is at most ten times the
 * one at half load, everything else is answered 429 or 503, memory grows by less than 1 MB/s in the last 20 s, and the
 * stream holds what was accepted.
 */
import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import { startGateway } from '../test/fixtures/gateway.ts'
import { usageOf } from '../test/fixtures/process-usage.ts'
import { startRedis } from '../test/fixtures/redis.ts'
import { costlyData } from '../test/fixtures/topology.ts'
import { load } from './load.ts'
import { type OpenLoadResult, openLoad } from './open-loop.ts'

const MB = 1_000_000
const stream = 'heavy:thing:done'
const key = 'publisher'
const event = (id: string) => JSON.stringify({ type: 'heavy.thing.done', id, source: '/bench', data: costlyData })

const teardowns: (() => unknown)[] = []
const scope = { teardown: (end: () => unknown) => void teardowns.push(end) } as Pick<Test, 'teardown'>

/** What a closed loop gets through: every connection sends its next request when the last was answered. */
async function sustainableRate(port: number): Promise<number> {
  const measured = (name: string, requests: number) =>
    load({ port, path: '/events', key, connections: 8, requests, body: (n) => event(`${name}-${n}`) })
  await measured('warm-up', 500)
  const requests = 2_000
  return requests / (await measured('closed', requests))
}

async function memoryDuring(pid: number, run: Promise<unknown>): Promise<{ at: number; rss: number }[]> {
  const samples: { at: number; rss: number }[] = []
  let running = true
  run.finally(() => {
    running = false
  })
  while (running) {
    samples.push({ at: performance.now() / 1_000, rss: (await usageOf(pid)).rss })
    await new Promise((resolve) => setTimeout(resolve, 250))
  }
  return samples
}

/** Bytes per second by least squares over the last `seconds`. */
function slopeOf(samples: { at: number; rss: number }[], seconds: number): number {
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

function percentile(values: number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * share) - 1] ?? Number.NaN
}

function report(name: string, perSecond: number, result: OpenLoadResult, seconds: number): number {
  const p99 = percentile(result.latencies, 0.99)
  const answers = [...result.statuses].map(([status, count]) => `${status}: ${count}`).join(', ')
  console.log(
    `${name.padEnd(12)} ${Math.round(perSecond)}/s offered, ${Math.round(result.accepted.length / seconds)}/s accepted, p50 ${percentile(result.latencies, 0.5).toFixed(1)} ms, p99 ${p99.toFixed(1)} ms   (${answers}, never sent: ${result.given})`
  )
  return p99
}

async function main(): Promise<boolean> {
  const server = await startRedis(scope, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const gateway = await startGateway(scope, { REDIS_URL: server.url, LOG_LEVEL: 'info' })
  const { port, pid } = gateway
  const sustainable = await sustainableRate(port)
  console.log(`sustainable  ${Math.round(sustainable)}/s`)
  const half = { perSecond: sustainable / 2, seconds: 10, connections: 400 }
  const atHalf = await openLoad({ port, key, ...half, body: (n) => event(`half-${n}`) })
  const halfP99 = report('half load', half.perSecond, atHalf, half.seconds)

  const ten = { perSecond: sustainable * 10, seconds: 30, connections: 400 }
  const running = openLoad({ port, key, ...ten, body: (n) => event(`ten-${n}`) })
  const samples = await memoryDuring(pid, running)
  const atTen = await running
  const tenP99 = report('ten times', ten.perSecond, atTen, ten.seconds)
  const slope = slopeOf(samples, 20)
  const stored = await storedIds(server.client(), 'ten')
  const accepted = new Set(atTen.accepted.map((n) => `ten-${n}`))
  const isSame = stored.symmetricDifference(accepted).size === 0
  console.log(`p99 ratio    ${(tenP99 / halfP99).toFixed(1)}   (limit 10)`)
  console.log(`memory       ${(slope / MB).toFixed(2)} MB/s over the last 20 s   (limit 1)`)
  console.log(`stored       ${isSame ? 'exactly what was accepted' : 'something else than what was accepted'}`)
  const isRefusedWell = [...atTen.statuses.keys()].every((status) => [202, 429, 503].includes(status))
  return tenP99 <= halfP99 * 10 && isRefusedWell && slope < MB && isSame
}

try {
  const holds = await main()
  if (process.argv.includes('--check') && !holds) process.exitCode = 1
} finally {
  for (const end of teardowns.toReversed()) await end()
}
