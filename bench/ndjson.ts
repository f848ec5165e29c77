/**
 * One NDJSON body of 1 GB: what it costs the gateway in CPU time per event, and how much its memory grows meanwhile.
 * Redis: a private one, `appendfsync always`. Linux only.
 *
 *   node bench/ndjson.ts [--check]
 */
import { testKeys } from '../test/fixtures/app.ts'
import { startGateway } from '../test/fixtures/gateway.ts'
import { sendLongBody } from '../test/fixtures/long-body.ts'
import { startRedis } from '../test/fixtures/redis.ts'
import { startFlags } from './start-flags.ts'
import { durable, trial } from './trial.ts'

const GB = 1_000_000_000

await trial(async (t) => {
  const server = await startRedis(t, { args: durable })
  const gateway = await startGateway(t, { REDIS_URL: server.url }, testKeys, startFlags)
  // Until the engine has compiled what is hot.
  await sendLongBody(gateway, GB / 50)
  const { events, cpuMicrosPerEvent, rssGrowth, seconds } = await sendLongBody(gateway, GB)
  t.figure('1 GB of NDJSON', events, `events in ${seconds.toFixed(0)} s`)
  t.figure('  per event', cpuMicrosPerEvent, 'µs of CPU', { atMost: 10 })
  t.figure('  growth of memory', rssGrowth / 1e6, 'MB', { below: 100 })
})
