import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { defineTopology } from '../../src/topology.ts'
import { keysJson, testKeys } from '../fixtures/app.ts'
import { operatorScene, scriptedHandler, stream } from '../fixtures/operators.ts'
import { until } from '../fixtures/until.ts'

const path = 'groups/broken/replays'
const many = (count: number) => Array.from({ length: count }, (_, n) => `e${n}`)

t.test(
  'a replay runs an event again in the group that failed and in no other, with its id and its history',
  async (t) => {
    let isBroken = true
    const broken = scriptedHandler((id) => (isBroken ? new Error(`broken for ${id}`) : undefined))
    const well = scriptedHandler(() => undefined)
    const attempts: number[] = []
    const { call, publish, redis, keys } = await operatorScene(t, {
      broken: {
        maxAttempts: 1,
        handler: async (event, context) => {
          attempts.push(context.attempt)
          await broken.handler(event, context)
        }
      },
      well: { handler: well.handler }
    })
    const { dead } = keys.group('broken')
    const entryIds = await publish(many(10))
    await until(async () => (await redis.xlen(dead)) === 10)
    const [before] = (await call('GET', 'groups/broken/dead-letters?id=e3')).items

    isBroken = false
    t.match(await call('POST', `${path}/preview`, {}), { http: 200, matched: 10, lost: 0, complete: true })
    const { http, id } = await call('POST', path, { filter: { id: 'e3' } })
    t.equal(http, 202)
    await until(() => broken.calls.length === 11)
    const done = await until(async () => {
      const replay = await call('GET', `${path}/${id}`)
      return replay.status === 'done' ? replay : undefined
    })
    t.match(done, { requeued: 1, skipped: 0, missing: 0, createdBy: 'admin' })
    t.equal(broken.calls.at(-1), 'e3')
    t.equal(attempts.at(-1), 1, 'attempts start again')
    t.equal(well.calls.length, 10, 'the other group has seen each event once')
    await until(async () => (await call('GET', `entries/${entryIds[3]}`)).groups.broken.state === 'done')
    t.equal(await redis.xlen(dead), 9)

    isBroken = true
    t.match(
      await call('POST', path, { ids: ['1-1', (await call('GET', 'groups/broken/dead-letters?id=e4')).items[0].id] }),
      {
        http: 202
      }
    )
    await until(async () => broken.calls.length === 12 && (await redis.xlen(dead)) === 9, { what: 'e4 is dead again' })
    const [again] = (await call('GET', 'groups/broken/dead-letters?id=e4')).items
    const letter = await call('GET', `groups/broken/dead-letters/${again.id}`)
    t.same([letter.failures, letter.attempts, letter.entryId], [2, 1, entryIds[4]], 'its history goes on')
    t.equal(before.eventId, 'e3')
  }
)

t.test('every letter is requeued once at the asked rate, over a restart; new ones and lost ones stay', async (t) => {
  let failing: (id: string) => Error | undefined = () => new Error('broken')
  const { handler, calls } = scriptedHandler((id) => failing(id))
  const groups = { broken: { maxAttempts: 1, handler } }
  const { call, publish, redis, keys, app, server, prefix } = await operatorScene(t, groups)
  const { dead, counts } = keys.group('broken')
  await publish(many(150))
  await until(async () => (await redis.xlen(dead)) === 150)
  await redis.xadd(
    dead,
    '*',
    'dead.entryId',
    '1-1',
    'dead.reason',
    'lost',
    'dead.errors',
    '',
    'dead.fingerprint',
    'lost'
  )

  const preview = await call('POST', `${path}/preview`, {})
  t.match(preview, { matched: 150, lost: 1 })
  // Still failing: what was requeued dies again, and must not be taken a second time by the same replay.
  failing = (event) => (Number(event.slice(1)) % 10 === 0 ? new Error('still broken') : undefined)
  const startedAt = performance.now()
  const { id } = await call('POST', path, { ratePerSecond: 60 })
  await until(() => calls.length > 180)
  await app.close()
  const afterStop = calls.length

  const config = loadConfig({
    REDIS_URL: server.url,
    KEY_PREFIX: prefix,
    TOPOLOGY: 'given',
    LOG_LEVEL: 'silent',
    API_KEYS: keysJson(testKeys)
  })
  const others = [1, 2].map(() => buildApp(config, { topology: defineTopology({ streams: { [stream]: { groups } } }) }))
  t.teardown(() => Promise.all(others.map((other) => other.close())))
  await Promise.all(others.map((other) => other.ready()))
  const job = () => redis.hgetall(keys.group('broken').replay(id))
  await until(async () => (await job()).status === 'done', { what: 'the replay is through' })
  const seconds = (performance.now() - startedAt) / 1_000
  await until(async () => (await redis.xlen(keys.group('broken').requeue)) === 0 && calls.length === 300)
  t.ok(afterStop < 300, 'it was not through before the restart')
  t.match(await job(), { requeued: '150', skipped: '1' })
  t.equal(await redis.hget(counts, 'replayed'), '150')
  t.ok(seconds >= (150 / 60) * 0.9, `150 letters at 60 per second took ${seconds.toFixed(2)} s`)
  await until(async () => (await redis.xlen(dead)) === 16, { what: 'a tenth died again, beside the lost one' })
  const perEvent = new Map<string, number>()
  for (const event of calls) perEvent.set(event, (perEvent.get(event) ?? 0) + 1)
  t.same(new Set(perEvent.values()), new Set([2]), 'each ran once before and once in the replay')
  t.equal((await redis.smembers(keys.replays)).length, 0)
})

t.test('a cancelled replay stops where it is, and cancelling again is harmless', async (t) => {
  const { handler } = scriptedHandler(() => new Error('broken'))
  const { call, publish, redis, keys } = await operatorScene(t, { broken: { maxAttempts: 1, handler } })
  await publish(many(50))
  await until(async () => (await redis.xlen(keys.group('broken').dead)) === 50)
  const { id } = await call('POST', path, { ratePerSecond: 5 })
  t.equal((await call('DELETE', `${path}/${id}`)).http, 204)
  t.equal((await call('DELETE', `${path}/${id}`)).http, 204)
  const job = await redis.hgetall(keys.group('broken').replay(id))
  t.equal(job.status, 'cancelled')
  await pause(50)
  t.same(await redis.hget(keys.group('broken').replay(id), 'requeued'), job.requeued)
  t.equal((await call('GET', `${path}/nothing`)).code, 'replay-not-found')
})
