import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { defineTopology } from '../../src/topology.ts'
import { testApp } from '../fixtures/app.ts'
import { Numbered, numberedType, postNumbers, readNumbers } from '../fixtures/numbered.ts'

const stream = 'test:number:posted'
const stopped = { external: true, pins: true }
const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i)

const topology = (groups: string[], hardLimit: number) =>
  defineTopology({
    streams: {
      [stream]: {
        events: { [numberedType]: Numbered },
        retention: { maxLength: 1_000, hardLimit },
        groups: Object.fromEntries(groups.map((group) => [group, stopped]))
      }
    }
  })

/** Posts numbers in requests of changing size; returns those of the accepted requests, and how the others ended. */
async function postMany(app: FastifyInstance, from: number, count: number) {
  const sizes = [1, 70, 1, 300, 1, 1, 70]
  const accepted: number[] = []
  const refusals: string[] = []
  let refused = 0
  for (let n = from, i = 0; n < from + count; i += 1) {
    const numbers = range(n, Math.min(sizes[i % sizes.length] ?? 1, from + count - n))
    n += numbers.length
    const { status, code, retryAfter } = await postNumbers(app, numbers)
    if (status === 202) accepted.push(...numbers)
    else {
      refused += numbers.length
      refusals.push(`${status} ${code} ${Number(retryAfter) > 0 ? 'retry' : 'no retry-after'}`)
    }
  }
  return { accepted, refused, refusals: [...new Set(refusals)] }
}

t.test('a stopped group loses nothing of what was accepted, and the rest is refused whole', async (t) => {
  const { app, redis, prefix } = await testApp(t, { topology: topology(['one', 'late'], 2_000) })
  const key = prefix + stream
  // The second group comes late: it starts at the beginning all the same.
  await redis.xgroup('DESTROY', key, 'late')
  const first = await postMany(app, 0, 5_000)
  t.same(first.refusals, ['503 stream-full retry'])
  t.equal(first.accepted.length + first.refused, 5_000)
  t.equal(first.accepted.length, await redis.xlen(key))
  t.ok(first.accepted.length > 1_900 && first.accepted.length <= 2_000, `${first.accepted.length} accepted`)
  t.same(await readNumbers(redis, key, 'one'), first.accepted)
  t.match(await postNumbers(app, [9_999]), { status: 503, code: 'stream-full' }, 'the late group still pins')
  t.same(await readNumbers(redis, key, 'late'), first.accepted)
  t.match(await postNumbers(app, range(10_000, 300)), { status: 202 }, 'the first post after that is accepted')
  const length = await redis.xlen(key)
  t.ok(length >= 1_000 && length <= 1_400, `the stream is back at ${length}`)
  const second = await postMany(app, 20_000, 3_000)
  t.same(await readNumbers(redis, key, 'one'), [...range(10_000, 300), ...second.accepted])
  t.same(await readNumbers(redis, key, 'late'), [...range(10_000, 300), ...second.accepted])
})

t.test('the same at maxmemory: refused as store-full, and back by itself', async (t) => {
  const { app, redis, prefix } = await testApp(t, { topology: topology(['one', 'late'], 1_000_000) })
  const key = prefix + stream
  const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
  await redis.config('SET', 'maxmemory', used + 1_000_000)
  const first = await postMany(app, 0, 30_000)
  t.same(first.refusals, ['503 store-full retry'])
  t.ok(first.accepted.length > 2_000, `${first.accepted.length} accepted`)
  t.equal(first.accepted.length, await redis.xlen(key))
  t.same(await readNumbers(redis, key, 'one'), first.accepted)
  t.same(await readNumbers(redis, key, 'late'), first.accepted)
  t.match(await postNumbers(app, range(50_000, 300)), { status: 202 }, 'the first post after that is accepted')
  t.same(await readNumbers(redis, key, 'one'), range(50_000, 300))
  t.ok((await redis.xlen(key)) <= 1_500)
})
