/**
 * How long events take from the client that posts them to the start of their handler, at 2,000 a second, one request
 * each, through one process that takes them in and handles them. Redis: a private one, `appendfsync always`.
 *
 *   node bench/delay.ts [--check]
 */
import { startRedis } from '../test/fixtures/redis.ts'
import { posting } from './load.ts'
import { openLoad } from './open-loop.ts'
import { key, startProgram } from './programs.ts'
import { durable, machineMs, percentile, trial } from './trial.ts'

const perSecond = 2_000

let sent = 0
const request = posting(
  '/events',
  key,
  () => `{"type":"bench.event.sent","id":"${sent++}","data":{"sentAt":${machineMs().toFixed(3)}}}`
)

await trial(async (t) => {
  const server = await startRedis(t, { args: durable })
  const echo = await startProgram(t, 'echo', server.url)
  const during = async (seconds: number) => {
    const { accepted } = await openLoad({ port: echo.port, perSecond, seconds, connections: 64, request })
    const { delays, cpuMicros } = await echo.ask()
    return { accepted: accepted.length, delays, cpuMicros }
  }
  // As many events as `ingest` has for it: until then the engine compiles what is hot, on the cores that all share.
  const first = await during(15)
  const { accepted, delays, cpuMicros } = await during(15)
  t.figure('events posted and handled, one process', delays.length, `of ${accepted} accepted in 15 s`)
  t.figure('  per event', (cpuMicros - first.cpuMicros) / accepted, 'µs of CPU')
  t.figure('  POST to handler, median', percentile(delays, 0.5), 'ms')
  t.figure('  POST to handler, p99', percentile(delays, 0.99), 'ms', { below: 10 })
  t.figure('  the same in the 15 s before, its first', percentile(first.delays, 0.99), 'ms')
})
