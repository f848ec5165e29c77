import t, { type Test } from 'tap'
import { createConsumers } from '../../src/consume/consumers.ts'
import { reject } from '../../src/consume/outcomes.ts'
import { createConnections } from '../../src/streams/connections.ts'
import { deadLetterFromEntry } from '../../src/streams/dead-letters.ts'
import { fieldsFromEvent } from '../../src/streams/entry.ts'
import { createKeys, type Keys, type StreamKeys } from '../../src/streams/keys.ts'
import { defineTopology } from '../../src/topology.ts'
import type { Handler } from '../../src/topology-options.ts'
import { type CommandProxy, startCommandProxy } from '../fixtures/command-proxy.ts'
import { testRedis } from '../fixtures/redis.ts'
import { quietLog } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

const STALE_MS = 300
const { redis, server } = await testRedis(t)
let scenes = 0

/** A vanished process that holds two entries, one of which has crashed too often. */
async function leaveVictim({ stream, group }: StreamKeys): Promise<void> {
  await redis.xgroup('CREATE', stream, 'g', '0', 'MKSTREAM')
  await append(stream, 'taken')
  await append(stream, 'crashed')
  await redis.xreadgroup('GROUP', 'g', 'victim', 'COUNT', 1, 'STREAMS', stream, '>')
  await redis.xreadgroup('GROUP', 'g', 'victim:alone', 'COUNT', 1, 'STREAMS', stream, '>')
  const [[crashed] = ['']] = (await redis.xpending(stream, 'g', '-', '+', 1, 'victim:alone')) as [string][]
  await redis.xclaim(stream, 'g', 'victim:alone', 0, crashed, 'RETRYCOUNT', 2, 'JUSTID')
  await redis.zadd(group('g').live, Date.now() - 60_000, 'victim')
}

async function append(stream: string, id: string): Promise<void> {
  await redis.xadd(stream, '*', ...fieldsFromEvent({ id, source: '/test', type: 'a.b', data: '{}' }))
}

/** Consumes until the returned function is called. */
async function consume(url: string, keys: Keys, handler: Handler): Promise<() => Promise<void>> {
  const connections = createConnections({ url }, quietLog)
  const backoff = { minMs: 10, factor: 1, jitter: 0 }
  const groups = { g: { handler, maxAttempts: 2, staleAfterMs: STALE_MS, concurrency: 8, backoff } }
  const topology = defineTopology({ streams: { s: { groups } } })
  const publish = async () => ({ stored: false, code: 'store-down' }) as const
  const consumers = createConsumers({ topology, connections, keys, publish, log: quietLog })
  await connections.connect()
  await consumers.start()
  return async () => {
    await consumers.stop(20)
    await connections.close()
  }
}

/** What there is at the end, and what there must be. */
async function ending({ stream, group }: StreamKeys, handled: Set<string>): Promise<string[]> {
  const { dead, delayed, delayedEntries, requeue, counts: key } = group('g')
  const letters = (await redis.xrange(dead, '-', '+')).map(([id, fields]) => deadLetterFromEntry(id, fields))
  const counts = await redis.hgetall(key)
  const found = {
    handled: [...handled].sort(),
    dead: letters.map(({ event, reason, attempts, crashes }) => [event.id, reason, attempts, crashes].join(' ')).sort(),
    pending: ((await redis.xpending(stream, 'g')) as [number])[0],
    parked: [await redis.zcard(delayed), await redis.hlen(delayedEntries), await redis.xlen(requeue)],
    counts: [counts.acked, counts.deadTotal, counts.lost ?? '0'],
    // What could not be handed over counts as crashed.
    crashes: Math.min(2, Number(counts.crashes))
  }
  const expected: typeof found = {
    handled: ['good-1', 'good-2', 'retry', 'stop', 'taken'],
    dead: ['crashed crashed 0 2', 'dead exhausted 2 0', 'reject rejected 1 0'],
    pending: 0,
    parked: [0, 0, 0],
    counts: ['5', '3', '0'],
    crashes: 2
  }
  return (Object.keys(expected) as (keyof typeof found)[])
    .filter((name) => JSON.stringify(found[name]) !== JSON.stringify(expected[name]))
    .map((name) => `${name}: ${JSON.stringify(found[name])}`)
}

/**
 * One life of a group whose connection breaks once: events that are handled, retried, given up and rejected, a vanished
 * process to take over from, and a stop with a handler at work. Then a second process finishes what is left. Whatever
 * was cut, the end must be the same; returns what is not.
 */
async function live(t: Test, arm: (proxy: CommandProxy) => void): Promise<{ proxy: CommandProxy; faults: string[] }> {
  const keys = createKeys(`cut:${scenes++}:`)
  const own = keys.of('s')
  let isRunning = false
  let stopping = false
  const handled = new Set<string>()
  const handler: Handler = async ({ id }, { attempt, signal }) => {
    if (id === 'dead' || (id === 'retry' && attempt === 1)) throw new Error('not now')
    if (id === 'reject') throw reject('never')
    if (id === 'stop' && !stopping) {
      isRunning = true
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
    }
    handled.add(id)
  }
  await leaveVictim(own)
  if (server.socket === undefined) throw new Error('no socket')
  const proxy = await startCommandProxy(t, server.socket)
  const stopFirst = await consume(proxy.url, keys, handler)
  arm(proxy)
  for (const id of ['good-1', 'retry', 'dead', 'good-2', 'reject']) await append(own.stream, id)
  await until(async () => handled.size === 4 && (await redis.xlen(own.group('g').dead)) >= 3, {
    deadlineMs: 20_000,
    what: 'everything but the last event is handled or dead'
  })
  await append(own.stream, 'stop')
  await until(() => isRunning)
  await stopFirst()
  stopping = true
  const stopSecond = await consume(server.url, keys, handler)
  await until(() => handled.has('stop'), { what: 'the last event is handled' })
  await until(async () => ((await redis.xpending(own.stream, 'g')) as [number])[0] === 0, { what: 'every ack arrives' })
  await stopSecond()
  return { proxy, faults: await ending(own, handled) }
}

t.test('wherever the connection breaks, nothing is lost, doubled or stuck', async (t) => {
  const whole = await live(t, (proxy) => proxy.cut('none', 1, 'before'))
  t.same(whole.faults, [])
  const cuts: { kind: string; n: number; when: 'before' | 'after' }[] = []
  // Heartbeats come by the clock: the first ones are as good as all.
  const most = new Map([['heartbeat', 6]])
  const kinds = [...whole.proxy.seen()].filter(
    ([kind]) => !['hello', 'client', 'info', 'select', 'auth'].includes(kind)
  )
  for (const [kind, count] of kinds) {
    for (let n = 1; n <= Math.min(count, most.get(kind) ?? count); n++)
      cuts.push({ kind, n, when: 'before' }, { kind, n, when: 'after' })
  }
  for (const kind of ['ack', 'fail', 'promote', 'takeover', 'reassign', 'retire', 'xreadgroup'])
    t.ok(whole.proxy.seen().has(kind), `${kind} is among what is cut`)
  let happened = 0
  const faults: string[] = []
  const next = cuts.values()
  const work = async () => {
    for (const { kind, n, when } of next) {
      const scene = await live(t, (proxy) => proxy.cut(kind, n, when)).catch((err: Error) => err)
      if (scene instanceof Error) faults.push(`${when} ${kind} ${n}: ${scene.message}`)
      else {
        if (scene.proxy.hasCut()) happened += 1
        for (const fault of scene.faults) faults.push(`${when} ${kind} ${n}: ${fault}`)
      }
    }
  }
  await Promise.all(Array.from({ length: 12 }, work))
  t.same(faults, [])
  t.ok(happened >= cuts.length * 0.7, `${happened} of ${cuts.length} cuts happened`)
})
