import t, { type Test } from 'tap'
import { createConsumers } from '../../src/consume/consumers.ts'
import { reject } from '../../src/consume/outcomes.ts'
import { createConnections } from '../../src/streams/connections.ts'
import { deadLetterFromEntry } from '../../src/streams/dead-letters.ts'
import { fieldsFromEvent } from '../../src/streams/entry.ts'
import { createKeys, type Keys, type StreamKeys } from '../../src/streams/keys.ts'
import { partitionOf, physicalName } from '../../src/streams/partitions.ts'
import { defineTopology } from '../../src/topology.ts'
import type { Handler } from '../../src/topology-options.ts'
import { type CommandProxy, startCommandProxy } from '../fixtures/command-proxy.ts'
import { testRedis } from '../fixtures/redis.ts'
import { quietLog } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

const STREAM = 'test:key:events'
const PARTITIONS = 2
const LEASE_MS = 400
const { redis, server } = await testRedis(t)
let scenes = 0

/** Two keys, one in each partition. */
const subjects = [0, 1].map((partition) => {
  const names = Array.from({ length: 20 }, (_, n) => `k${n}`)
  return names.find((name) => partitionOf(name, PARTITIONS) === partition) ?? ''
})

interface Scene {
  partitions: StreamKeys[]
  append: (...ids: string[]) => Promise<void>
  consume: (url: string, handler: Handler) => Promise<() => Promise<void>>
}

function scene(): Scene {
  const keys: Keys = createKeys(`cut:${scenes++}:`)
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) => keys.of(physicalName(STREAM, partition)))
  return {
    partitions,
    async append(...ids) {
      for (const id of ids) {
        for (const [partition, subject] of subjects.entries()) {
          const event = { id: `${subject}-${id}`, source: '/test', type: 'a.b', subject, data: '{}' }
          await redis.xadd(partitions[partition]?.stream ?? '', '*', ...fieldsFromEvent(event))
        }
      }
    },
    async consume(url, handler) {
      const connections = createConnections({ url }, quietLog)
      const backoff = { minMs: 10, factor: 1, jitter: 0 }
      const g = { ordered: true, handler, maxAttempts: 2, staleAfterMs: LEASE_MS, backoff }
      const streams = { [STREAM]: { partitions: PARTITIONS, retention: { keepAll: true as const }, groups: { g } } }
      const publish = async () => ({ stored: false, code: 'store-down' }) as const
      const consumers = createConsumers({
        topology: defineTopology({ streams }),
        connections,
        keys,
        publish,
        log: quietLog
      })
      await connections.connect()
      await consumers.start()
      return async () => {
        await consumers.stop(20)
        await connections.close()
      }
    }
  }
}

/** What there is at the end and must not be. */
async function ending({ partitions }: Scene, handled: Map<string, string[]>): Promise<string[]> {
  const faults: string[] = []
  const say = (what: string, found: unknown, expected: unknown) => {
    if (JSON.stringify(found) !== JSON.stringify(expected)) faults.push(`${what}: ${JSON.stringify(found)}`)
  }
  for (const [partition, subject] of subjects.entries()) {
    const { stream, group } = partitions[partition] as StreamKeys
    const { dead, held } = group('g')
    // A redelivery may run an event again, right after itself and never after a later one.
    const order = (handled.get(subject) ?? []).filter((id, i, all) => id !== all[i - 1])
    say(`${subject} handled`, order, ['first', 'retry', 'between', 'stop', 'last'])
    const letters = (await redis.xrange(dead, '-', '+')).map(([id, fields]) => deadLetterFromEntry(id, fields))
    say(
      `${subject} dead`,
      letters.map(({ event, reason }) => `${event.id} ${reason}`),
      [`${subject}-dead exhausted`, `${subject}-reject rejected`]
    )
    say(`${subject} pending`, ((await redis.xpending(stream, 'g')) as [number])[0], 0)
    say(`${subject} held`, await redis.hlen(held), 0)
  }
  return faults
}

/**
 * One life of an ordered group whose first process loses its connection once: it takes both partitions, handles, retries,
 * gives up and rejects; a second process joins and is given one partition; the first stops with handlers at work and
 * gives the other back. Whatever was cut, the end must be the same; returns what is not.
 */
async function live(t: Test, arm: (proxy: CommandProxy) => void): Promise<{ proxy: CommandProxy; faults: string[] }> {
  const own = scene()
  const handled = new Map<string, string[]>(subjects.map((subject) => [subject, []]))
  const count = () => [...handled.values()].map((ids) => new Set(ids).size)
  let running = 0
  let stopping = false
  const handler: Handler = async ({ id, subject = '' }, { attempt, signal }) => {
    const name = id.slice(subject.length + 1)
    if (name === 'dead' || (name === 'retry' && attempt === 1)) throw new Error('not now')
    if (name === 'reject') throw reject('never')
    if (name === 'stop' && !stopping) {
      running += 1
      return new Promise((_, fail) => signal.addEventListener('abort', () => fail(signal.reason)))
    }
    handled.get(subject)?.push(name)
  }
  const proxy = await startCommandProxy(t, server.socket ?? '')
  arm(proxy)
  const stopFirst = await own.consume(proxy.url, handler)
  await own.append('first', 'retry', 'dead', 'between', 'reject')
  await until(() => count().every((n) => n === 3), { deadlineMs: 20_000, what: 'all but the last events' })
  const stopSecond = await own.consume(server.url, handler)
  const owners = () => Promise.all(own.partitions.map(({ group }) => redis.hget(group('g').lease, 'owner')))
  await until(async () => new Set(await owners()).size === 2, { deadlineMs: 20_000, what: 'each owns a partition' })
  await own.append('stop', 'last')
  await until(() => running >= 2, { what: 'both processes are at work' })
  stopping = true
  await Promise.all([stopFirst(), stopSecond()])
  const stopThird = await own.consume(server.url, handler)
  await until(() => count().every((n) => n === 5), { deadlineMs: 20_000, what: 'the rest is handled' })
  const pending = () => Promise.all(own.partitions.map(async ({ stream }) => (await redis.xpending(stream, 'g'))[0]))
  await until(async () => (await pending()).every((n) => n === 0), { what: 'every ack arrives' })
  await stopThird()
  return { proxy, faults: await ending(own, handled) }
}

t.test('wherever the connection of an owner breaks, its partitions go on in order', async (t) => {
  const whole = await live(t, (proxy) => proxy.cut('none', 1, 'before'))
  t.same(whole.faults, [])
  const cuts: { kind: string; n: number; when: 'before' | 'after' }[] = []
  // These come by the clock: the first ones are as good as all.
  const most = new Map([
    ['ordered-beat', 3],
    ['lease-renew', 4],
    ['xread', 3]
  ])
  for (const [kind, count] of whole.proxy.seen()) {
    if (['hello', 'client', 'info', 'select', 'auth'].includes(kind)) continue
    for (let n = 1; n <= Math.min(count, most.get(kind) ?? count); n++)
      cuts.push({ kind, n, when: 'before' }, { kind, n, when: 'after' })
  }
  const changes = ['lease-claim', 'lease-renew', 'lease-mark', 'ordered-read', 'ordered-ack', 'ordered-fail']
  for (const kind of changes) t.ok(whole.proxy.seen().has(kind), `${kind} is among what is cut`)
  let happened = 0
  const faults: string[] = []
  const next = cuts.values()
  const work = async () => {
    for (const { kind, n, when } of next) {
      const life = await live(t, (proxy) => proxy.cut(kind, n, when)).catch((err: Error) => err)
      if (life instanceof Error) faults.push(`${when} ${kind} ${n}: ${life.message}`)
      else {
        if (life.proxy.hasCut()) happened += 1
        for (const fault of life.faults) faults.push(`${when} ${kind} ${n}: ${fault}`)
      }
    }
  }
  await Promise.all(Array.from({ length: 12 }, work))
  t.same(faults, [])
  t.ok(happened >= cuts.length * 0.7, `${happened} of ${cuts.length} cuts happened`)
})
