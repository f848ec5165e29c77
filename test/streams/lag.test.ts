import fc from 'fast-check'
import t from 'tap'
import { createKeys } from '../../src/streams/keys.ts'
import { createLag } from '../../src/streams/lag.ts'
import { physicalStreams } from '../../src/streams/partitions.ts'
import { isAfter, rowFrom } from '../../src/streams/reader.ts'
import { trimStream } from '../../src/streams/trimming.ts'
import { defineTopology } from '../../src/topology.ts'
import { testRedis } from '../fixtures/redis.ts'
import { quietLog } from '../fixtures/streams.ts'

/** What may happen to a stream and its groups; the numbers choose among what there is. */
type Step =
  | { does: 'append' | 'read' | 'ack'; part: number; group: number; count: number }
  | { does: 'delete' | 'seek'; part: number; group: number; at: number }
  | { does: 'trim' | 'drop' | 'recreate'; part: number; group: number; count: number }

const part = fc.nat({ max: 1 })
const group = fc.nat({ max: 2 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constantFrom('append' as const, 'read', 'ack'),
      part,
      group,
      count: fc.integer({ min: 1, max: 12 })
    })
  },
  {
    weight: 2,
    arbitrary: fc.record({ does: fc.constantFrom('delete' as const, 'seek'), part, group, at: fc.nat({ max: 99 }) })
  },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constantFrom('trim' as const, 'drop', 'recreate'),
      part,
      group,
      count: fc.nat({ max: 15 })
    })
  }
)
const names = ['pinning', 'external', 'orphan']

t.test('unread is what a brute-force count says, whatever happened before, in every partition', async (t) => {
  const { redis, prefix } = await testRedis(t)
  const topology = defineTopology({
    streams: {
      s: { partitions: 2, groups: { pinning: { external: true, pins: true }, external: { external: true } } }
    }
  })
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40, size: 'max' }), async (steps) => {
      run += 1
      const keys = createKeys(`${prefix}${run}:`)
      const streams = Array.from(topology.streams.values()).flatMap(physicalStreams)
      const lag = createLag({ redisOf: () => redis, keys, streams, log: quietLog })
      for (const stream of streams) {
        for (const name of names) await redis.xgroup('CREATE', keys.of(stream.name).stream, name, '0', 'MKSTREAM')
      }
      for (const taken of steps) {
        const stream = streams[taken.part]
        if (stream === undefined) continue
        const key = keys.of(stream.name).stream
        const name = names[taken.group] as string
        const ids = (await redis.xrange(key, '-', '+')).map(([id]) => id)
        if (taken.does === 'append') for (let n = 0; n < taken.count; n += 1) await redis.xadd(key, '*', 'id', 'x')
        if (taken.does === 'read') await redis.xreadgroup('GROUP', name, 'c', 'COUNT', taken.count, 'STREAMS', key, '>')
        if (taken.does === 'ack') {
          const rows = (await redis.xpending(key, name, '-', '+', taken.count)) as [string][]
          if (rows.length > 0) await redis.xack(key, name, ...rows.map(([id]) => id))
        }
        if (taken.does === 'delete' && ids.length > 0) await redis.xdel(key, ids[taken.at % ids.length] as string)
        if (taken.does === 'seek')
          await redis.xgroup('SETID', key, name, ids[taken.at % Math.max(1, ids.length)] ?? '0')
        if (taken.does === 'trim') await trimStream(redis, keys, stream, { maxLength: taken.count, force: false })
        if (taken.does === 'drop') await trimStream(redis, keys, stream, { maxLength: taken.count, force: true })
        if (taken.does === 'recreate') {
          await redis.xgroup('DESTROY', key, name)
          await redis.xgroup('CREATE', key, name, taken.count % 2 === 0 ? '0' : '$')
        }
      }
      const seen = (await lag()).map(({ stream, group: name, unread, pending, approximate }) => ({
        of: `${stream} ${name}`,
        unread,
        pending,
        approximate
      }))
      const counted: typeof seen = []
      for (const { name: stream } of streams) {
        const key = keys.of(stream).stream
        const ids = (await redis.xrange(key, '-', '+')).map(([id]) => id)
        for (const info of (await redis.xinfo('GROUPS', key)) as unknown[][]) {
          const row = rowFrom(info)
          const unread = ids.filter((id) => isAfter(id, String(row['last-delivered-id']))).length
          counted.push({ of: `${stream} ${row.name}`, unread, pending: Number(row.pending), approximate: undefined })
        }
      }
      const byName = (a: { of: string }, b: { of: string }) => (a.of < b.of ? -1 : 1)
      t.strictSame(seen.sort(byName), counted.sort(byName))
      return seen.every(({ unread }, index) => unread === counted[index]?.unread)
    }),
    { numRuns: 150, interruptAfterTimeLimit: 15_000 }
  )
})

t.test('unread is exact up to 10,000 and a lower bound above, where Redis cannot be believed', async (t) => {
  const { redis, prefix } = await testRedis(t)
  const topology = defineTopology({ streams: { s: { groups: { g: { external: true } } } } })
  const keys = createKeys(prefix)
  const key = keys.of('s').stream
  const lag = createLag({ redisOf: () => redis, keys, streams: Array.from(topology.streams.values()), log: quietLog })
  const append = async (count: number) => {
    const pipeline = redis.pipeline()
    for (let n = 0; n < count; n += 1) pipeline.xadd(key, '*', 'id', 'x')
    await pipeline.exec()
  }
  const gone = (await redis.xadd(key, '*', 'id', 'x')) as string
  await append(10_000)
  await redis.xgroup('CREATE', key, 'g', '0')
  await redis.xdel(key, gone)
  t.match(await lag(), [{ unread: 10_000 }])
  t.equal((await lag())[0]?.approximate, undefined)
  await append(1)
  t.match(await lag(), [{ unread: 10_000, approximate: true }])
})
