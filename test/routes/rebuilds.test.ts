import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { Type } from 'typebox'
import { defineTopology } from '../../src/topology.ts'
import type { Rebuild } from '../../src/topology-options.ts'
import { as, testApp } from '../fixtures/app.ts'
import { until } from '../fixtures/until.ts'

const stream = 'carts:cart:events'
const handled: string[] = []
/** Emits the number of a partition that may be rebuilt. */
const releases = new EventEmitter()
let failure: Error | undefined

const rebuild: Rebuild = async (events, { partition }) => {
  if (failure !== undefined) throw failure
  await once(releases, String(partition))
  for await (const _ of events);
}
const handler = async ({ id }: { id: string }) => void handled.push(id)
const topology = defineTopology({
  streams: {
    [stream]: {
      events: { 'carts.item.added': Type.Object({}) },
      partitions: 2,
      groups: { projectors: { ordered: true, handler, rebuild }, watchers: { ordered: true, handler: async () => {} } }
    },
    'orders:order:created': { groups: { workers: { handler } } }
  }
})
const { app } = await testApp(t, { topology })

// biome-ignore lint/suspicious/noExplicitAny: the body is whatever JSON came; the test says what it must be
async function call(method: 'GET' | 'POST', group = 'projectors', of = stream, who = 'admin'): Promise<any> {
  const url = `/admin/streams/${of}/groups/${group}/rebuild`
  const answer = await app.inject({ method, url, headers: as(who) })
  return { http: answer.statusCode, ...answer.json() }
}

async function publish(ids: readonly string[]): Promise<void> {
  const payload = ids.map((id) => ({ id, source: '/test', type: 'carts.item.added', subject: id, data: {} }))
  await app.inject({ method: 'POST', url: '/events', headers: as('publisher'), payload })
  await until(() => ids.every((id) => handled.includes(id)))
}

/** Lets a partition go on as soon as it asks, and waits until the rebuild of it is over. */
async function release(partition: number, state: string) {
  return until(async () => {
    releases.emit(String(partition))
    const now = await call('GET')
    return now.parts[partition].state === state ? now : undefined
  })
}

t.test(
  'a rebuild goes on partition by partition, is refused while it is under way, and says how it ended',
  async (t) => {
    t.match(await call('GET'), { http: 200, state: 'none', parts: [{ stream: `${stream}:0`, state: 'none' }, {}] })
    await publish(Array.from({ length: 10 }, (_, n) => `u${n}`))

    const asked = await call('POST')
    t.match(asked, { http: 202, state: 'running', parts: [{ state: 'wanted' }, { state: 'wanted' }] })
    t.match(await release(1, 'done'), { state: 'running', parts: [{ state: 'wanted' }, { state: 'done', dead: 0 }] })
    t.match(await call('POST'), { http: 409, code: 'rebuild-running', detail: '1 of 2 partitions are still to come.' })

    const { state, parts } = await release(0, 'done')
    t.equal(state, 'done')
    t.equal(parts[0].events + parts[1].events, 10, 'everything was folded')
    for (const part of parts) t.match(part, { id: asked.parts[0].id, finishedAt: /^20\d\d-.*Z$/, deadEntryIds: [] })

    const again = await call('POST')
    t.equal(again.http, 202)
    t.not(again.parts[0].id, asked.parts[0].id)
    await release(0, 'done')
    t.match(await release(1, 'done'), { state: 'done' })
  }
)

t.test('a rebuild that fails says why, and the group goes on', async (t) => {
  failure = new Error('no room for the fresh carts')
  t.equal((await call('POST')).http, 202)
  await release(0, 'failed')
  t.match(await release(1, 'failed'), { state: 'failed', parts: [{ error: failure.message }, {}] })
  await publish(['after'])
  failure = undefined
  t.equal((await call('POST')).http, 202, 'it can be asked for again')
  await release(0, 'done')
  await release(1, 'done')
})

t.test('a group without a rebuild, and one partition alone, are refused', async (t) => {
  for (const method of ['GET', 'POST'] as const) {
    t.match(await call(method, 'watchers'), { http: 409, code: 'no-rebuild', detail: /topology/ })
    t.match(await call(method, 'workers', 'orders:order:created'), { http: 409, code: 'no-rebuild' })
    t.match(await call(method, 'projectors', `${stream}:1`), {
      http: 409,
      code: 'no-rebuild',
      detail: /name carts:cart:events/
    })
    t.match(await call(method, 'nobody'), { http: 404, code: 'group-not-found' })
  }
  t.equal((await call('POST', 'projectors', stream, 'observer')).http, 403)
  t.equal((await call('GET', 'projectors', stream, 'observer')).http, 200)
})
