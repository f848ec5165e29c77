import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { type CloudEvent, fieldsFromEvent } from '../../src/streams/entry.ts'
import { startRedis } from '../fixtures/redis.ts'
import { numbered, numbersIn, testStreams } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i)
const one = { 'test:one:events': {}, 'test:two:events': {} }

t.test('an appended event lies in its stream, field by field, byte for byte', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, one)
  const data = '{ "text":"\\u00e9 é 😀", "big":12345678901234567890, "n":1.50, "__proto__":{} }'
  const stream = streams.definition('test:one:events')
  const event = {
    id: 'a',
    source: '/s',
    type: 'x.y',
    time: '2026-01-01T00:00:00Z',
    subject: 'sé',
    data,
    extensions: { trace: '1' }
  }
  const [result] = await streams.publish([{ event, stream }])
  t.match(result, { stored: true, duplicate: false, durability: 'memory' })
  const [row] = await server.client().xrange(streams.keys.of('test:one:events').stream, '-', '+')
  t.same(row?.[1], [
    'id',
    'a',
    'source',
    '/s',
    'type',
    'x.y',
    'time',
    '2026-01-01T00:00:00Z',
    'subject',
    'sé',
    'trace',
    '1',
    'data',
    data
  ])
  t.equal(result?.stored && result.entryId, row?.[0])
})

t.test('what the events of one request have in common is stored with each of them', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, one)
  const stream = streams.definition('test:one:events')
  const odd = 'a "quoted"\\\u0000\n é 😀'
  const data = '{"same":true}'
  const common = { source: '/s', type: 'x.y', time: '2026-01-01T00:00:00Z', data }
  const events: CloudEvent[] = [
    ...range(0, 3).map((n) => ({ ...common, id: `alike-${n}`, subject: odd })),
    ...range(0, 3).map((n) => ({ ...common, id: `own-${n}`, subject: `${odd}${n}`, time: `2026-01-01T00:00:0${n}Z` })),
    { ...common, id: 'alone', source: '/other', extensions: { trace: '0' } },
    ...range(0, 2).map((n) => ({ ...common, id: `typed-${n}`, type: `x.${n}` })),
    // Half a surrogate pair can be no JSON; as bytes it is a replacement character.
    ...range(0, 2).map((n) => ({ ...common, id: `half-${n}`, subject: 'a\ud800' }))
  ]
  const results = await streams.publish(events.map((event) => ({ event, stream, digest: event.id })))
  t.same(
    results.map((result) => result.stored && result.duplicate),
    events.map(() => false)
  )
  const rows = await server.client().xrange(streams.keys.of('test:one:events').stream, '-', '+')
  t.same(
    rows.map(([, fields]) => fields),
    events.map((event) => fieldsFromEvent(event).map((field) => field.toWellFormed()))
  )
})

t.test('appending the same key twice returns the first entry id, also inside one unit', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, one)
  const first = await streams.post('test:one:events', [1, 2, 1], { known: true })
  t.same(
    first.map((result) => result.stored && result.duplicate),
    [false, false, true]
  )
  t.equal(first[0]?.stored && first[0].entryId, first[2]?.stored && first[2].entryId)
  const second = await streams.post('test:one:events', [2, 3], { known: true })
  t.same(
    second.map((result) => result.stored && result.duplicate),
    [true, false]
  )
  t.equal(second[0]?.stored && second[0].entryId, first[1]?.stored && first[1].entryId)
  t.same(await numbersIn(server.client(), streams.keys.of('test:one:events').stream), [1, 2, 3])
})

t.test('a known key with another fingerprint refuses its whole unit', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, one)
  const stream = streams.definition('test:one:events')
  const event = { id: 'a', source: '/s', type: 'x', data: '{"n":1}' }
  await streams.publish([{ event, stream, digest: 'k', fingerprint: 'one' }])
  const results = await streams.publish([
    { event: { ...event, data: '{"n":2}' }, stream },
    { event: { ...event, data: '{"n":3}' }, stream, digest: 'k', fingerprint: 'two' }
  ])
  t.match(results, [{ stored: false, refusal: { code: 'key-reused', index: 1 } }, { stored: false }])
  const [again] = await streams.publish([{ event, stream, digest: 'k', fingerprint: 'one' }])
  t.match(again, { stored: true, duplicate: true })
  t.same(await numbersIn(server.client(), streams.keys.of('test:one:events').stream), [1])
})

t.test('one flush settles new, duplicate and refused units each on its own', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, {
    'test:one:events': { retention: { maxLength: 5, hardLimit: 10 }, groups: { slow: { handler: async () => {} } } }
  })
  await streams.post('test:one:events', [1, 2], { known: true })
  const results = await Promise.all([
    streams.post('test:one:events', range(10, 6)),
    streams.post('test:one:events', [1, 2], { known: true }),
    streams.post('test:one:events', range(20, 5)),
    streams.post('test:one:events', [30]),
    streams.post('test:one:events', range(40, 11))
  ])
  t.same(
    results.map((unit) =>
      unit.map((result) => (result.stored ? (result.duplicate ? 'known' : 'new') : result.refusal.code))
    ),
    [
      Array(6).fill('new'),
      ['known', 'known'],
      Array(5).fill('stream-full'),
      // There would be room for this one; it waits behind the larger one, or that might starve.
      ['stream-full'],
      Array(11).fill('too-many-events')
    ]
  )
  t.match(results[2]?.[0], { refusal: { pinnedBy: { group: 'slow' } } })
  t.same(await numbersIn(server.client(), streams.keys.of('test:one:events').stream), [1, 2, ...range(10, 6)])
  // A handler may go 10 % above the limit.
  const [own] = await streams.post('test:one:events', range(50, 3), { fromHandler: true })
  t.match(own, { stored: true })
})

t.test('units of one flush know what the units before them stored, and not what was refused', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, one)
  const stream = streams.definition('test:one:events')
  const publish = (...digests: string[]) =>
    streams.publish(
      digests.map((text) => {
        const [digest = '', fingerprint] = text.split('=')
        return { event: numbered(0), stream, digest, ...(fingerprint ? { fingerprint } : {}) }
      })
    )
  await publish('known=one')
  const redis = server.client()
  await redis.config('RESETSTAT')
  const units = await Promise.all([
    publish('a', 'b'),
    publish('b', 'c'),
    publish('d', 'd', 'known=two'),
    publish('d', 'e=one', 'd'),
    publish('e=two'),
    publish('e=one', 'known=one')
  ])
  t.match(await redis.info('commandstats'), /cmdstat_evalsha:calls=1,/, 'one flush')
  const ids = units.map((unit) => unit.map((result) => (result.stored ? result.entryId : result.refusal.code)))
  const [[a, b] = [], [, c] = [], , [d, e] = [], , [, known] = []] = ids
  t.same(ids, [[a, b], [b, c], ['key-reused', 'key-reused', 'key-reused'], [d, e, d], ['key-reused'], [e, known]])
  t.same(
    units.map((unit) => unit.map((result) => result.stored && result.duplicate)),
    [[false, false], [true, false], [false, false, false], [false, false, true], [false], [true, true]]
  )
  const rows = await redis.xrange(streams.keys.of('test:one:events').stream, '-', '+')
  t.same(
    rows.map(([id]) => id),
    [known, a, b, c, d, e]
  )
})

t.test('without Redis every append is refused within the timeout, and it recovers by itself', async (t) => {
  const server = await startRedis(t, { args: ['--appendonly', 'yes'] })
  const streams = await testStreams(t, server.url, one, { commandTimeoutMs: 500 })
  await streams.post('test:one:events', [1])
  await server.kill('SIGKILL')
  for (const n of [2, 3, 4]) {
    const started = performance.now()
    t.match(await streams.post('test:one:events', [n]), [
      { stored: false, refusal: { code: /store-down|outcome-unknown/ } }
    ])
    t.ok(performance.now() - started < 1_500, 'it did not keep the client waiting')
  }
  await server.start()
  const stored = await until(
    async () => {
      const [result] = await streams.post('test:one:events', [5])
      return result?.stored && result
    },
    { what: 'an accepted append' }
  )
  t.match(stored, { stored: true, duplicate: false })
  t.same((await numbersIn(server.client(), streams.keys.of('test:one:events').stream)).slice(0, 1), [1])
})

t.test('an event that was refused as store-down is not stored later, with others of its flush', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, one, { commandTimeoutMs: 1_000 })
  await streams.post('test:one:events', [1])
  await server.kill('SIGKILL')
  await until(() => streams.health().redis === 'down')
  const first = streams.post('test:one:events', [2])
  await pause(200)
  const early = streams.post('test:one:events', [3])
  await pause(700)
  const late = streams.post('test:one:events', [4])
  t.match(await first, [{ refusal: { code: 'store-down' } }])
  // These two are one flush now; the time of the first is up before the other's.
  t.match(await early, [{ refusal: { code: 'store-down' } }])
  await server.start()
  t.match(await late, [{ stored: true }])
  t.same(await numbersIn(server.client(), streams.keys.of('test:one:events').stream), [4])
})

t.test('a Redis that hangs gives outcome-unknown for what was sent and store-down for what was not', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, one, { commandTimeoutMs: 300 })
  await streams.post('test:one:events', [1])
  server.pause()
  const sent = streams.post('test:one:events', [2])
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  const waiting = streams.post('test:one:events', [3])
  t.match(await sent, [{ refusal: { code: 'outcome-unknown' } }])
  t.match(await waiting, [{ refusal: { code: 'store-down' } }])
  server.resume()
  await until(async () => (await streams.post('test:one:events', [4]))[0]?.stored, { what: 'an accepted append' })
  const stored = await numbersIn(server.client(), streams.keys.of('test:one:events').stream)
  t.same(
    stored.filter((n) => n === 3),
    [],
    'what was not sent was not stored'
  )
  t.ok(stored.filter((n) => n === 2).length <= 1)
})

t.test('the queue is bounded, and one stream cannot take it all', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, one, { queueLimit: 100, commandTimeoutMs: 5_000 })
  server.pause()
  const first = range(0, 30).map((n) => streams.post('test:one:events', [n]))
  const other = streams.post('test:two:events', [1])
  server.resume()
  const codes = (await Promise.all(first)).map(([result]) => (result?.stored ? 'stored' : result?.refusal.code))
  t.equal(codes.filter((code) => code === 'overloaded').length, 5, 'a quarter of the queue, and no more')
  t.match(await other, [{ stored: true }])
  t.match(streams.health(), { queuedEvents: 0 })
})

t.test('an event with several keys is known by each of them, across events of one unit too', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, one)
  const stream = streams.definition('test:one:events')
  const publish = async (...digests: string[][]) => {
    const publications = digests.map(([digest, ...aliases]) => ({
      event: { id: 'a', source: '/s', type: 'x.y' },
      stream,
      digest,
      aliases
    }))
    return (await streams.publish(publications)).map((result) => result.stored && result.duplicate)
  }
  t.same(await publish(['a', 'b']), [false])
  t.same(await publish(['a'], ['b'], ['c', 'b'], ['a', 'd']), [true, true, true, true])
  t.same(await publish(['e', 'f'], ['f', 'g'], ['g'], ['h']), [false, true, true, false])
  t.same(await publish(['f'], ['h']), [true, true])
  t.equal(await server.client().xlen(streams.keys.of('test:one:events').stream), 3)
})
