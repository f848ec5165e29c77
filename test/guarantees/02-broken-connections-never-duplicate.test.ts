import t from 'tap'
import type { PublicationResult } from '../../src/streams/publisher.ts'
import { startProxy } from '../fixtures/proxy.ts'
import { startRedis } from '../fixtures/redis.ts'
import { numbersIn, testStreams } from '../fixtures/streams.ts'

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i)
const one = { 'test:one:events': {}, 'test:two:events': {} }

t.test('a connection cut anywhere stores every accepted unit once and no refused unit twice', async (t) => {
  const server = await startRedis(t)
  if (server.socket === undefined) throw new Error('no socket')
  const proxy = await startProxy(t, { path: server.socket })
  const streams = await testStreams(t, proxy.url, one)
  const accepted = new Map<string, number[]>([
    ['test:one:events', []],
    ['test:two:events', []]
  ])
  const refused: number[] = []
  let number = 0
  const note = (numbers: number[], results: PublicationResult[]) => {
    results.forEach((result, i) => {
      const n = numbers[i] as number
      if (result.stored && !result.duplicate) accepted.get(result.stream)?.push(n)
      else if (!result.stored) refused.push(n)
    })
  }
  for (let round = 0; round < 200; round += 1) {
    proxy.cutAfter(round % 2 === 0 ? 'request' : 'reply', Math.floor(Math.random() * (round % 2 === 0 ? 6_000 : 500)))
    const before = proxy.cuts()
    // Until the cut happened: new units, units with known keys, and both streams at once.
    while (proxy.cuts() === before) {
      const sent = range(number, 12)
      number += 12
      const known = sent.slice(8)
      await Promise.all([
        ...sent.slice(0, 4).map(async (n) => note([n], await streams.post('test:one:events', [n]))),
        streams.post('test:two:events', sent.slice(4, 8)).then((results) => note(sent.slice(4, 8), results)),
        streams.post('test:one:events', known, { known: true }).then((results) => note(known, results))
      ])
      const again = await streams.post('test:one:events', known, { known: true })
      note(known, again)
    }
  }
  t.equal(proxy.cuts(), 200)
  const redis = server.client()
  for (const [stream, numbers] of accepted) {
    const stored = await numbersIn(redis, streams.keys.of(stream).stream)
    t.equal(new Set(stored).size, stored.length, `nothing is twice in ${stream}`)
    t.equal(new Set(numbers).size, numbers.length, 'nothing was answered as new twice')
    t.same(new Set(numbers).difference(new Set(stored)), new Set(), `every accepted event is in ${stream}`)
  }
  t.ok(number > 2_000, `${number} events went through 200 cuts, ${refused.length} of them refused`)
})

t.test('two flushes on the way at once survive a cut connection each by itself', async (t) => {
  const server = await startRedis(t)
  if (server.socket === undefined) throw new Error('no socket')
  const proxy = await startProxy(t, { path: server.socket })
  const stream = 'test:one:events'
  const streams = await testStreams(t, proxy.url, { [stream]: { retention: { maxLength: 1_000_000 } } })
  const accepted: number[] = []
  let number = 0
  for (let round = 0; round < 40; round += 1) {
    proxy.cutAfter(
      round % 2 === 0 ? 'request' : 'reply',
      Math.floor(Math.random() * (round % 2 === 0 ? 150_000 : 20_000))
    )
    const before = proxy.cuts()
    while (proxy.cuts() === before) {
      // More than two flushes take; every other unit is posted again, while the first may still be on its way.
      const units = Array.from({ length: 12 }, (_, i) => range(number + i * 100, 100))
      number += 1_200
      const post = async (unit: number[], i: number) => {
        const results = await streams.post(stream, unit, { known: i % 2 === 0 })
        results.forEach((result, n) => void (result.stored && !result.duplicate && accepted.push(unit[n] as number)))
      }
      await Promise.all([...units.map(post), ...units.filter((_, i) => i % 2 === 0).map((unit) => post(unit, 0))])
    }
  }
  const redis = server.client()
  const { stream: key, flush } = streams.keys.of(stream)
  t.equal((await redis.keys(flush('*'))).length, 2, 'both flushers stored some')
  const stored = await numbersIn(redis, key)
  t.equal(new Set(stored).size, stored.length, 'nothing is stored twice')
  t.equal(new Set(accepted).size, accepted.length, 'nothing was answered as new twice')
  t.same(new Set(accepted).difference(new Set(stored)), new Set(), 'every accepted event is stored')
  t.ok(accepted.length > 40_000, `${accepted.length} of ${number} events were accepted over 40 cuts`)
})

t.test('an old request that arrives after its retry does not execute', async (t) => {
  const server = await startRedis(t)
  if (server.socket === undefined) throw new Error('no socket')
  const proxy = await startProxy(t, { path: server.socket })
  const streams = await testStreams(t, proxy.url, one)
  await streams.post('test:one:events', [1])
  const swallowed = proxy.swallow('{"n":2}')
  const [second] = await streams.post('test:one:events', [2])
  t.match(second, { stored: true }, 'the retry stored it')
  t.match(await proxy.deliver(await swallowed), /^\*2/, 'the late copy answers from the record')
  await streams.post('test:one:events', [3])
  t.match(await proxy.deliver(await swallowed), /STALE/, 'a later flush shuts it out')
  t.same(await numbersIn(server.client(), streams.keys.of('test:one:events').stream), [1, 2, 3])
})
