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
import { durable, percentile, trial } from './trial.ts'

const perSecond = 2_000

let sent = 0
const now = () => (performance.timeOrigin + performance.now()).toFixed(3)
const request = posting('/events', key, () => `{"type":"bench.event.sent","id":"${sent++}","data":{"sentAt":${now()}}}`)

await trial(async (t) => {
  const server = await startRedis(t, { args: durable })
  const echo = await startProgram(t, 'echo', server.url)
  const during = async (seconds: number) => {
    const { accepted } = await openLoad({ port: echo.port, perSecond, seconds, connections: 64, request })
    const { delays, cpuMicros } = await echo.ask()
    return { accepted: accepted.length, delays, cpuMicros }
  }
  const before = await during(5)
  const { accepted, delays, cpuMicros } = await during(15)
  t.figure('events posted and handled, one process', delays.length, `of ${accepted} accepted in 15 s`)
  t.figure('  per event', (cpuMicros - before.cpuMicros) / accepted, 'µs of CPU')
  t.figure('  POST to handler, median', percentile(delays, 0.5), 'ms')
  t.figure('  POST to handler, p99', percentile(delays, 0.99), 'ms', { below: 10 })
})
