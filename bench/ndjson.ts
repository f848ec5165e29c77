/**
 * One NDJSON body of 1 GB: what it costs the gateway in CPU time per event, and how much its memory grows meanwhile.
 * Redis: a private one, `appendfsync always`. Linux only.
 *
 *   node bench/ndjson.ts [--check]
 *
 * `--check` exits with 1 unless memory grows by less than 100 MB and an event costs at most 10 µs.
 */
import type { Test } from 'tap'
import { startGateway } from '../test/fixtures/gateway.ts'
import { sendLongBody } from '../test/fixtures/long-body.ts'
import { startRedis } from '../test/fixtures/redis.ts'

const GB = 1_000_000_000
const limits = { growthBytes: 100_000_000, cpuMicros: 10 }

const teardowns: (() => unknown)[] = []
const scope = { teardown: (end: () => unknown) => void teardowns.push(end) } as Pick<Test, 'teardown'>
try {
  const server = await startRedis(scope, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const gateway = await startGateway(scope, { REDIS_URL: server.url })
  // Compiles and warms up.
  await sendLongBody(gateway, GB / 50)
  const { events, cpuMicrosPerEvent, rssGrowth, seconds } = await sendLongBody(gateway, GB)
  console.log(`1 GB of NDJSON, ${events} events in ${seconds.toFixed(0)} s (${Math.round(events / seconds)} events/s)`)
  console.log(`gateway CPU per event   ${cpuMicrosPerEvent.toFixed(2)} µs   (limit ${limits.cpuMicros})`)
  console.log(`growth of its memory    ${Math.round(rssGrowth / 1e6)} MB   (limit ${limits.growthBytes / 1e6})`)
  const holds = cpuMicrosPerEvent <= limits.cpuMicros && rssGrowth < limits.growthBytes
  if (process.argv.includes('--check') && !holds) process.exitCode = 1
} finally {
  for (const end of teardowns.toReversed()) await end()
}
