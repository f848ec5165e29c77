/**
 * What operators ask for, where there is much to look at: the lag of 1,000 groups, and pages of 1,000,000 pending entries.
 * Medians of 25, because one that other programs keep from the processor says nothing.
 * Redis: a private one, `appendfsync always`; a command that keeps it busy for over 10 ms holds up every producer.
 *
 *   node bench/operators.ts [--check]
 */
import type { Redis } from 'ioredis'
import { fieldsFromEvent } from '../src/streams/entry.ts'
import { startGateway } from '../test/fixtures/gateway.ts'
import { startRedis } from '../test/fixtures/redis.ts'
import { streamNames } from './many-groups.ts'
import { startFlags } from './start-flags.ts'
import { durable, median, percentile, trial } from './trial.ts'

const PENDING = 1_000_000
const ASKED = 25

const stream = streamNames[0] as string
const event = { id: '5f0e1c52', source: '/bench', type: 'bench.stream0.written', data: '{"n":1}' }

/** Entries in every stream, and a million of the first delivered to three consumers of its first group. */
async function fill(redis: Redis): Promise<void> {
  const append = "for _ = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2)) end"
  const deliver =
    "redis.call('XREADGROUP', 'GROUP', 'group0', ARGV[1], 'COUNT', 1000, 'STREAMS', KEYS[1], '>') return redis.status_reply('OK')"
  const fields = fieldsFromEvent(event)
  for (const name of streamNames) await redis.eval(append, 1, name, 100, ...fields)
  for (let n = 0; n < PENDING / 1_000; n += 1) {
    await redis.eval(append, 1, stream, 1_000, ...fields)
    await redis.eval(deliver, 1, stream, `consumer${n % 3}`)
  }
}

await trial(async (t) => {
  // Every command that took a tenth of a millisecond.
  const server = await startRedis(t, {
    args: [...durable, '--slowlog-log-slower-than', '100', '--slowlog-max-len', '2000']
  })
  const redis = server.client()
  const env = { REDIS_URL: server.url, TOPOLOGY: 'bench/many-groups.ts' }
  const { port } = await startGateway(t, env, [{ name: 'reader', scopes: ['read'] }], startFlags)
  await fill(redis)
  const asked = async (path: string): Promise<number> => {
    const began = performance.now()
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization: 'Bearer reader' } })
    await answer.arrayBuffer()
    if (answer.status !== 200) throw new Error(`${path} was answered ${answer.status}`)
    return performance.now() - began
  }
  const measure = async (name: string, path: string, limitMs: number) => {
    for (let n = 0; n < 5; n += 1) await asked(path)
    const times: number[] = []
    const slowest: number[] = []
    for (let n = 0; n < ASKED; n += 1) {
      await redis.slowlog('RESET')
      times.push(await asked(path))
      const commands = (await redis.slowlog('GET', -1)) as [id: number, at: number, micros: number][]
      slowest.push(Math.max(0, ...commands.map(([, , micros]) => micros / 1_000)))
    }
    t.figure(name, median(times), `ms, at worst ${percentile(times, 1).toFixed(1)} ms`, { below: limitMs })
    const worst = `ms, at worst ${percentile(slowest, 1).toFixed(1)} ms`
    t.figure('  its longest command of Redis', median(slowest), worst, { atMost: 10 })
  }
  await measure('lag of 1,000 groups, median', '/admin/lag', 150)
  const pages = `/admin/streams/${encodeURIComponent(stream)}/groups/group0/pending`
  await measure('page of 1,000,000 pending, median', `${pages}?limit=50`, 50)
  await measure('  of one consumer', `${pages}?limit=50&consumer=consumer1`, 50)
  await measure('  idle for an hour (none is)', `${pages}?limit=50&minIdleMs=3600000`, 50)
})
