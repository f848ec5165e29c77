import t from 'tap'
import { reject, unavailable } from '../../src/consume/outcomes.ts'
import { deadLetterFromEntry } from '../../src/streams/dead-letters.ts'
import { fieldOf } from '../../src/streams/entry.ts'
import type { Handler, HandlerContext } from '../../src/topology-options.ts'
import { inProcessConsumers } from '../fixtures/in-process-consumers.ts'
import { until } from '../fixtures/until.ts'

t.test('reject makes a dead letter at once', async (t) => {
  const handler = async () => {
    throw reject('no such product')
  }
  const { redis, keys, append } = await inProcessConsumers(t, { g: { handler } })
  const entryId = await append({})
  const { dead } = keys.group('g')
  await until(async () => (await redis.xlen(dead)) === 1)
  const [[id, fields] = ['', []]] = await redis.xrange(dead, '-', '+')
  t.match(deadLetterFromEntry(id, fields), {
    reason: 'rejected',
    attempts: 1,
    entryId,
    errors: { total: 1, first: [{ name: 'Rejection', message: 'no such product' }] }
  })
})

t.test('unavailable charges no attempt, stops reading, and probes with one event before it goes on', async (t) => {
  let up = false
  const calls: number[] = []
  let most = 0
  let running = 0
  const handler = async (_event: unknown, { attempt }: HandlerContext) => {
    calls.push(attempt)
    running += 1
    most = Math.max(most, running)
    await new Promise(setImmediate)
    running -= 1
    if (!up) throw unavailable('the bank is closed', { retryAfterMs: 300 })
  }
  const { redis, keys, append } = await inProcessConsumers(t, { g: { handler, maxAttempts: 1, concurrency: 4 } })
  for (let n = 0; n < 4; n++) await append({ id: `event-${n}` })
  await until(() => calls.length >= 4)
  for (let n = 4; n < 30; n++) await append({ id: `event-${n}` })
  const before = calls.length
  most = 0
  await until(() => calls.length === before + 2, { what: 'two probes' })
  t.equal(most, 1, 'one event at a time')
  up = true
  await until(async () => ((await redis.hget(keys.group('g').counts, 'acked')) ?? '0') === '30')
  t.ok(calls.every((attempt) => attempt === 1))
  t.equal(await redis.xlen(keys.group('g').dead), 0)
})

t.test(
  'a handler that outlives handlerTimeoutMs has failed; its signal aborts, its late result and publish do not count',
  async (t) => {
    const ends: string[] = []
    const handler = async (_event: unknown, { signal, attempt, publish }: HandlerContext) => {
      if (attempt > 1) return
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      ends.push((signal.reason as Error).name)
      await publish({ type: 'a.b', data: {} }).catch((error: Error) => ends.push(error.name))
    }
    const options = { handler, handlerTimeoutMs: 200, backoff: { minMs: 20 }, concurrency: 1 }
    const { redis, keys, append } = await inProcessConsumers(t, { g: options })
    await append({})
    await until(async () => ((await redis.hget(keys.group('g').counts, 'acked')) ?? '0') === '1')
    t.same(ends, ['HandlerTimeout', 'TakenOver'])
  }
)

t.test('a publish that cannot be stored makes its event wait, not die', async (t) => {
  const codes = ['stream-full', 'store-down']
  const publish = async () => {
    const code = codes.shift() as 'stream-full' | undefined
    return code === undefined
      ? ({ stored: true, entryId: '7-0', duplicate: false } as const)
      : ({ stored: false, code } as const)
  }
  const published: unknown[] = []
  const handler = async (_event: unknown, context: HandlerContext) => {
    published.push(await context.publish({ type: 'a.b', data: {} }))
  }
  const { append } = await inProcessConsumers(t, { g: { handler, maxAttempts: 1, backoff: { minMs: 20 } } }, publish)
  await append({})
  await until(() => published.length === 1)
  t.same(published, [{ entryId: '7-0', duplicate: false }])
})

t.test('events of other types are acknowledged unread, entries that are no events become dead letters', async (t) => {
  const seen: string[] = []
  const handler = async ({ id }: { id: string }) => void seen.push(id)
  const { redis, keys, append } = await inProcessConsumers(t, { g: { handler, types: ['a.b'] } })
  await append({ id: 'other', type: 'c.d' })
  await redis.xadd(keys.stream, '*', 'hello', 'world')
  await append({ id: 'mine' })
  await until(() => seen.length === 1)
  await until(async () => (await redis.xlen(keys.group('g').dead)) === 1)
  await until(async () => ((await redis.xpending(keys.stream, 'g')) as [number])[0] === 0)
  t.same(seen, ['mine'])
  const [[id, fields] = ['', []]] = await redis.xrange(keys.group('g').dead, '-', '+')
  t.match(deadLetterFromEntry(id, fields), { reason: 'undecodable', attempts: 0 })
  t.equal(fieldOf(fields, 'hello'), 'world')
})

t.test('an event keeps every byte through delayed, requeue and dead letters', async (t) => {
  const data = '{"text":"\\u0000 / \\" \\\\ é ☃ 𝄞 \u007f", "n": 1e400, "big": 12345678901234567890}'
  const event = {
    id: 'ü/1',
    source: '/a?b',
    subject: ' x ',
    time: '2026-01-01T00:00:00Z',
    data,
    extensions: { traceparent: '00-aa' }
  }
  const texts: (string | undefined)[] = []
  const handler = async ({ dataText }: { dataText?: string }) => {
    texts.push(dataText)
    throw new Error(data)
  }
  const { redis, keys, append } = await inProcessConsumers(t, { g: { handler, maxAttempts: 3, backoff: { minMs: 5 } } })
  await append(event)
  await until(async () => (await redis.xlen(keys.group('g').dead)) === 1)
  t.same(texts, [data, data, data])
  const [[id, fields] = ['', []]] = await redis.xrange(keys.group('g').dead, '-', '+')
  const letter = deadLetterFromEntry(id, fields)
  t.same(letter.event, { ...event, type: 'a.b' })
  t.equal(letter.errors?.first[2]?.message, data)
})

t.test('in a backlog every byte arrives too, of new events and of retries', async (t) => {
  const data = '{"text":"\\u0000 / \\" \\\\ é ☃ 𝄞 \u007f", "n": 1e400, "big": 12345678901234567890}'
  const event = { source: '/a?b', subject: ' x ', data, extensions: { traceparent: '00-aa' } }
  const seen = new Map<string, number>()
  const wrong: string[] = []
  const handler: Handler = async ({ id, dataText, subject, extensions }, { attempt }) => {
    if (dataText !== data || subject !== ' x ' || extensions.traceparent !== '00-aa') wrong.push(id)
    seen.set(id, (seen.get(id) ?? 0) + 1)
    if (attempt === 1 && Number(id) % 3 === 0) throw new Error('again')
  }
  const options = { handler, concurrency: 8, backoff: { minMs: 5, factor: 1 } }
  const { redis, keys, append } = await inProcessConsumers(t, { g: options })
  await Promise.all(Array.from({ length: 300 }, (_, n) => append({ ...event, id: String(n) })))
  await until(async () => (await redis.hget(keys.group('g').counts, 'acked')) === '300')
  t.same(wrong, [])
  t.ok([...seen].every(([id, times]) => times === (Number(id) % 3 === 0 ? 2 : 1)))
})
