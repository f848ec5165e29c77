import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { defineTopology } from '../../src/topology.ts'
import { as, keysJson, testKeys } from '../fixtures/app.ts'
import { portOf } from '../fixtures/http.ts'
import { operatorScene, type Scene, scriptedHandler, stream } from '../fixtures/operators.ts'
import { until } from '../fixtures/until.ts'

const EVENTS = 240
const RATE = 50
const ids = Array.from({ length: EVENTS }, (_, n) => `e${n}`)

/** Event ids a tail has shown so far. */
async function tailed({ app }: Scene): Promise<{ seen: () => string[]; close: () => void }> {
  const path = `/admin/streams/${stream}/tail`
  const request = get({ host: '127.0.0.1', port: await portOf(app), path, headers: as('admin'), agent: false })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  let text = ''
  response.on('data', (part) => {
    text += part
  })
  response.on('error', () => undefined)
  await until(() => text !== '')
  return {
    seen: () => [...text.matchAll(/"id":"(e\d+)"/g)].map(([, id]) => id as string),
    close: () => request.destroy()
  }
}

t.test(
  'an incident, over HTTP alone: seen, understood, repaired at a set rate over a restart, and told by the audit',
  async (t) => {
    let failing: (id: string) => Error | undefined = (id) => new Error(`the warehouse refuses ${id}`)
    const { handler, calls } = scriptedHandler((id) => failing(id))
    const groups = { fulfilment: { handler, maxAttempts: 1, alerts: { maxDead: 0 } } }
    const scene = await operatorScene(t, groups)
    const { call, app, server, prefix } = scene
    const path = 'groups/fulfilment'

    const tail = await tailed(scene)
    await scene.publish(ids)
    const alerted = await until(async () => {
      const { items } = await call('GET', '/admin/lag', undefined, 'observer')
      return items[0].dead === EVENTS ? items[0] : undefined
    })
    t.match(alerted, { group: 'fulfilment', alerts: ['dead'], pending: 0, unread: 0 })
    await until(() => tail.seen().length === EVENTS)
    t.same(tail.seen(), ids)
    tail.close()
    const summary = await call('GET', `${path}/dead-letters/summary`)
    t.match(summary, {
      total: EVENTS,
      items: [{ count: EVENTS, lastError: { message: /^the warehouse refuses e\d+$/ } }]
    })
    const filter = { fingerprint: summary.items[0].fingerprint }
    t.match(await call('POST', `${path}/replays/preview`, { filter }), { matched: EVENTS, lost: 0, complete: true })

    failing = (id) => (Number(id.slice(1)) % 10 === 0 ? new Error(`still refused: ${id}`) : undefined)
    const { id } = await call('POST', `${path}/replays`, { filter, ratePerSecond: RATE })
    await until(async () => (await call('GET', `${path}/replays/${id}`)).requeued >= 20)
    await app.close()

    const config = loadConfig({
      REDIS_URL: server.url,
      KEY_PREFIX: prefix,
      TOPOLOGY: 'given',
      LOG_LEVEL: 'silent',
      API_KEYS: keysJson(testKeys)
    })
    const others = [1, 2].map(() =>
      buildApp(config, { topology: defineTopology({ streams: { [stream]: { groups } } }) })
    )
    t.teardown(() => Promise.all(others.map((other) => other.close())))
    await Promise.all(others.map((other) => other.ready()))
    const ask = async (rest: string) => {
      const url = rest.startsWith('/') ? rest : `/admin/streams/${stream}/${rest}`
      return (await (others[0] as (typeof others)[number]).inject({ url, headers: as('admin') })).json()
    }
    const progress = async () => ({ ...(await ask(`${path}/replays/${id}`)), at: performance.now() })
    const stopped = (await progress()).requeued
    const from = await until(async () => {
      const now = await progress()
      return now.requeued > stopped ? now : undefined
    })
    await pause(2_500)
    const to = await progress()
    const rate = ((to.requeued - from.requeued) * 1_000) / (to.at - from.at)
    t.ok(rate > RATE * 0.9 && rate < RATE * 1.1, `${rate.toFixed(1)} per second`)
    const done = await until(async () => {
      const now = await progress()
      return now.status === 'done' ? now : undefined
    })
    t.match(done, { requeued: EVENTS, skipped: 0, createdBy: 'admin' })

    await until(async () => (await ask(`${path}/dead-letters/summary`)).total === EVENTS / 10)
    await until(() => calls.length === 2 * EVENTS)
    t.same(calls.slice(EVENTS).toSorted(), ids.toSorted(), 'every dead letter ran again once')
    const { items } = await ask('/admin/audit')
    t.same(
      items.map(({ operation, key, status }: Record<string, unknown>) => [operation, key, status]),
      [['replayDeadLetters', 'admin', 202]]
    )
    t.same(JSON.parse(items[0].arguments), { filter, ratePerSecond: RATE })
    t.equal(JSON.parse(items[0].result).id, id)
  }
)
