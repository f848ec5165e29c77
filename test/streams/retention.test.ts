import type { Redis } from 'ioredis'
import t from 'tap'
import { startRedis } from '../fixtures/redis.ts'
import { numbersIn, type TestStreams, testStreams } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

const name = 'test:one:events'
const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i)
const handled = { handler: async () => {} }

async function fill(streams: TestStreams, from: number, count: number, batch = 50) {
  for (let n = from; n < from + count; n += batch) {
    const results = await streams.post(name, range(n, Math.min(batch, from + count - n)))
    if (results.some((result) => !result.stored)) throw new Error(`refused at ${n}`)
  }
}

/** Reads as a consumer would, at most so many; acknowledges them unless told to keep them pending. */
async function read(redis: Redis, key: string, group: string, count: number, ack = true) {
  const reply = (await redis.xreadgroup('GROUP', group, 'c', 'COUNT', count, 'STREAMS', key, '>')) as
    | [string, [string, string[]][]][]
    | null
  const rows = reply?.[0]?.[1] ?? []
  if (ack && rows.length > 0) await redis.xack(key, group, ...rows.map(([id]) => id))
  return rows.map(([, fields]) => Number(String(fields[fields.indexOf('data') + 1]).slice(5, -1)))
}

t.test('a stream is trimmed to about its length once every pinning group has read it, and not before', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, {
    [name]: { retention: { maxLength: 1_000, hardLimit: 5_000 }, groups: { fast: handled, slow: handled } }
  })
  const redis = server.client()
  const key = streams.keys.of(name).stream
  await fill(streams, 0, 3_000)
  await read(redis, key, 'fast', 3_000)
  await fill(streams, 3_000, 500)
  t.equal(await redis.xlen(key), 3_500, 'the group that read nothing holds everything')
  const reading = await read(redis, key, 'slow', 1_500)
  await fill(streams, 3_500, 50)
  await until(async () => (await redis.xlen(key)) <= 2_150, { what: 'the trim' })
  t.ok((await redis.xlen(key)) >= 2_050, 'nothing unread was cut')
  reading.push(...(await read(redis, key, 'slow', 3_000)))
  t.same(reading, range(0, 3_550))
  await read(redis, key, 'fast', 3_000)
  await fill(streams, 3_550, 50)
  await until(async () => (await redis.xlen(key)) <= 1_150, { what: 'the trim' })
  t.ok((await redis.xlen(key)) >= 1_000)
})

t.test('an entry that is read and not acknowledged is not cut, and who holds it is named', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, {
    [name]: { retention: { maxLength: 10, hardLimit: 20 }, groups: { g: handled } }
  })
  const redis = server.client()
  const key = streams.keys.of(name).stream
  await fill(streams, 0, 20, 10)
  t.match((await streams.post(name, [99]))[0], {
    refusal: { code: 'stream-full', pinnedBy: { group: 'g', consumer: undefined } }
  })
  await read(redis, key, 'g', 5, false)
  await read(redis, key, 'g', 15)
  const [first] = await redis.xrange(key, '-', '+', 'COUNT', 1)
  const [refused] = await streams.post(name, [99])
  t.match(refused, { refusal: { code: 'stream-full', pinnedBy: { group: 'g', consumer: 'c', entryId: first?.[0] } } })
  await redis.xack(key, 'g', ...(await redis.xrange(key, '-', '+', 'COUNT', 5)).map(([id]) => id))
  t.match(await streams.post(name, [20]), [{ stored: true }], 'the first post after the ack is stored')
  t.same(await numbersIn(redis, key), range(10, 11), 'a stream far shorter than a node is cut to the entry')
})

t.test('unread: drop keeps the newest and counts exactly what each group lost', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, {
    [name]: { retention: { maxLength: 1_000, unread: 'drop' }, groups: { none: handled, some: handled, all: handled } }
  })
  const redis = server.client()
  const key = streams.keys.of(name).stream
  const got = { some: 0, all: 0 }
  for (let n = 0; n < 20_000; n += 100) {
    await fill(streams, n, 100)
    got.all += (await read(redis, key, 'all', 200)).length
    if (n % 700 === 0) got.some += (await read(redis, key, 'some', 300)).length
  }
  const left = async (group: string) => {
    let count = 0
    for (let n = 1; n > 0; count += n) n = (await read(redis, key, group, 1_000)).length
    return count
  }
  const lost = async (group: string) => Number(await redis.hget(streams.keys.of(name).group(group).counts, 'lost'))
  t.ok((await redis.xlen(key)) <= 1_200)
  t.equal(got.all + (await left('all')), 20_000)
  t.equal(await lost('all'), 0)
  const lostBySome = await lost('some')
  t.equal(got.some + (await left('some')) + lostBySome, 20_000, `some lost ${lostBySome}`)
  t.ok(lostBySome > 1_000)
  t.equal((await left('none')) + (await lost('none')), 20_000)
})

t.test('a group that does not pin is not waited for, and its loss is counted exactly', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, {
    [name]: { retention: { maxLength: 100, hardLimit: 200 }, groups: { own: handled, others: { external: true } } }
  })
  const redis = server.client()
  const key = streams.keys.of(name).stream
  await redis.xgroup('CREATE', key, 'orphan', '0', 'MKSTREAM')
  for (let n = 0; n < 2_000; n += 50) {
    await fill(streams, n, 50)
    await read(redis, key, 'own', 50)
  }
  await read(redis, key, 'others', 10)
  await fill(streams, 2_000, 50)
  await read(redis, key, 'own', 50)
  for (const group of ['others', 'orphan']) {
    const unread = (await read(redis, key, group, 1_000)).length
    const lost = Number(await redis.hget(streams.keys.of(name).group(group).counts, 'lost'))
    t.equal(lost + unread + (group === 'others' ? 10 : 0), 2_050, `${group}: ${lost} lost`)
  }
})

t.test('a group that vanished is created again at the beginning, and that is counted', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, {
    [name]: { retention: { maxLength: 10, hardLimit: 20 }, groups: { g: { ...handled, from: 'end' } } }
  })
  const redis = server.client()
  const key = streams.keys.of(name).stream
  await fill(streams, 0, 20, 10)
  await redis.xgroup('DESTROY', key, 'g')
  t.match(await streams.post(name, [99]), [{ refusal: { code: 'stream-full' } }], 'a missing group holds everything')
  t.equal(await redis.hget(streams.keys.of(name).group('g').counts, 'recreated'), '1')
  t.same(await read(redis, key, 'g', 100), range(0, 20))
})

t.test('at maxmemory appends are refused as store-full and work again once the groups caught up', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, {
    [name]: { retention: { maxLength: 1_000, hardLimit: 100_000 }, groups: { g: handled } }
  })
  const redis = server.client()
  const key = streams.keys.of(name).stream
  await fill(streams, 0, 3_000)
  const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
  await redis.config('SET', 'maxmemory', used + 300_000)
  let n = 3_000
  for (;;) {
    const [result] = await streams.post(name, [n])
    if (!result?.stored) {
      t.equal(result?.refusal.code, 'store-full')
      break
    }
    n += 1
  }
  const stored = await redis.xlen(key)
  t.equal(stored, n, 'nothing was cut and nothing half-written')
  t.same((await read(redis, key, 'g', n)).length, n, 'consuming goes on')
  t.match(await streams.post(name, [n]), [{ stored: true }], 'the first post after that is stored')
  t.ok((await redis.xlen(key)) <= 1_200)
})

t.test('a stream without any group keeps its newest entries', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, { [name]: { retention: { maxLength: 1_000 } } })
  await fill(streams, 0, 5_000)
  const redis = server.client()
  const key = streams.keys.of(name).stream
  await until(async () => (await redis.xlen(key)) <= 1_150, { what: 'the trim' })
  const numbers = await numbersIn(redis, key)
  t.equal(numbers.at(-1), 4_999)
  t.ok(numbers.length >= 1_000)
})

t.test('keepAll is never trimmed', async (t) => {
  const server = await startRedis(t)
  const streams = await testStreams(t, server.url, { [name]: { retention: { keepAll: true }, groups: { g: handled } } })
  await fill(streams, 0, 3_000)
  await read(server.client(), streams.keys.of(name).stream, 'g', 3_000)
  await fill(streams, 3_000, 100)
  t.equal(await server.client().xlen(streams.keys.of(name).stream), 3_100)
})
