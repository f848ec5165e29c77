/** The rights README gives a Redis user are enough for everything, and none of them is too much. */
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { Type } from 'typebox'
import { defineTopology } from '../../src/topology.ts'
import { as, testApp } from '../fixtures/app.ts'
import { shareRedis, startRedis } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

const server = await startRedis(t, { port: true })
const admin = server.client()
shareRedis(server)

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
const [, rule = ''] = /^ACL SETUSER headgate (.+)$/m.exec(readme) ?? []
const rights = Array.from(rule.matchAll(/\+([a-z|-]+)/g), ([, right = '']) => right)
const secret = 'a-secret'

const orders = 'orders:order:created'
const carts = 'carts:cart:events'
const careful = 'audits:audit:written'
const topology = defineTopology({
  streams: {
    [orders]: {
      events: {
        'orders.order.created': Type.Object({ fails: Type.Optional(Type.Boolean()) }, { additionalProperties: true })
      },
      groups: {
        workers: {
          ratePerSecond: 1_000,
          maxAttempts: 2,
          backoff: { minMs: 10, maxMs: 20 },
          async handler(event, { publish, attempt }) {
            if ((event.data as { fails?: boolean }).fails && attempt < 3) throw new Error('broken')
            await publish({ type: 'carts.item.added', subject: 'cart-1', data: {} })
          }
        },
        readers: { external: true }
      }
    },
    [carts]: {
      events: { 'carts.item.added': Type.Object({}) },
      partitions: 2,
      groups: {
        projectors: {
          ordered: true,
          handler: async () => {},
          rebuild: async (events) => {
            for await (const _ of events);
          }
        }
      }
    },
    [careful]: { events: { 'audits.audit.written': Type.Object({}) }, durability: 'replicated', replicas: 1 }
  }
})

for (const prefix of ['', 'shop:']) {
  t.test(`with the prefix '${prefix}' everything works, and nothing is denied`, async (t) => {
    await admin.flushall()
    const given = rule.replace('~shop:*', `~${prefix}*`).replace('>secret', `>${secret}`).split(' ')
    await admin.call('ACL', 'SETUSER', 'headgate', 'reset', ...given)
    await admin.call('ACL', 'LOG', 'RESET')
    const { app } = await testApp(t, {
      topology,
      keys: [{ name: 'admin', scopes: ['admin', 'publish'] }],
      REDIS_URL: `redis://headgate:${secret}@127.0.0.1:${server.port}`,
      KEY_PREFIX: prefix,
      COMMAND_TIMEOUT_MS: 400
    })
    const call = async (method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, payload?: object) => {
      const url = path.startsWith('/') ? path : `/admin/streams/${orders}/${path}`
      const headers = { ...as('admin'), ...(payload === undefined ? {} : { 'content-type': 'application/json' }) }
      const answer = await app.inject({ method, url, headers, payload })
      if (answer.statusCode >= 400) t.fail(`${method} ${path}: ${answer.body}`)
      return answer.body === '' ? {} : answer.json()
    }
    const publish = (type: string, data: object, more: object = {}) =>
      call('POST', '/events', { type, source: '/test', subject: 'one', data, ...more })

    await publish('orders.order.created', {}, { id: 'known' })
    t.match(await publish('orders.order.created', {}, { id: 'known' }), { duplicate: true })
    const failed = await publish('orders.order.created', { fails: true })
    const letters = await until(async () => {
      const { items } = await call('GET', 'groups/workers/dead-letters')
      return items.length === 1 && items
    })
    const careless = await app.inject({
      method: 'POST',
      url: '/events',
      headers: { ...as('admin'), 'content-type': 'application/json' },
      payload: { type: 'audits.audit.written', data: {} }
    })
    t.equal(careless.json().code, 'durability-unknown', 'it waits for a replica that is not there')

    await call('GET', `groups/workers/dead-letters/${letters[0].id}`)
    await call('GET', 'groups/workers/dead-letters/summary')
    await call('POST', 'groups/workers/replays', {})
    await until(async () => (await call('GET', 'groups/workers/dead-letters')).items.length === 1, {
      what: 'it failed again'
    })
    await call('POST', 'groups/workers/dead-letters/discard', { filter: { type: 'none' } })
    await call('GET', `entries/${failed.entryId}`)
    await call('GET', 'entries?type=orders.order.created')
    await call('GET', '/admin/lag')
    await call('GET', '/admin/streams')
    await call('GET', '/admin/audit')
    await call('PUT', 'hard-limit', { hardLimit: 300_000 })
    await call('DELETE', 'hard-limit')
    await call('POST', 'trim', { maxLength: 1_000, force: true })
    await call('PUT', 'groups/extra', { from: 'beginning' })
    await admin.xreadgroup('GROUP', 'readers', 'someone', 'STREAMS', `${prefix}${orders}`, '>')
    const { items: held } = await call('GET', 'groups/readers/pending')
    await call('POST', 'groups/readers/pending/claim', { ids: [held[0].id], consumer: 'other', limit: 10 })
    await call('POST', 'groups/readers/pending/ack', { ids: [held[0].id] })
    await call('GET', 'groups/readers/consumers')
    await call('DELETE', 'groups/extra?force=true')
    await call('POST', 'groups/workers/pause')
    await call('POST', 'groups/workers/seek', { to: 'beginning', clear: true })
    await call('POST', 'groups/workers/seek', { to: 'end' })
    await call('GET', 'groups/workers/delayed')
    await call('POST', 'groups/workers/resume')
    await call('DELETE', `entries/${failed.entryId}`)
    await until(async () => {
      const { items } = await call('GET', '/admin/lag')
      return items.every(({ group, unread, pending }: { group: string; unread: number; pending: number }) => {
        return group === 'readers' || unread + pending === 0
      })
    })
    await call('POST', `/admin/streams/${carts}/groups/projectors/rebuild`)
    await until(async () => {
      const { parts } = await call('GET', `/admin/streams/${carts}/groups/projectors/rebuild`)
      return parts.every(({ state }: { state: string }) => state === 'done')
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const address = app.server.address()
    const port = typeof address === 'object' ? address?.port : 0
    const tail = await fetch(`http://127.0.0.1:${port}/admin/streams/${carts}/tail`, { headers: as('admin') })
    await tail.body?.getReader().read()
    await app.close()

    const denied = (await admin.call('ACL', 'LOG')) as unknown[][]
    t.same(
      denied.map((row) => row.slice(0, 10)),
      []
    )
  })
}

t.test('every command of the scripts is allowed, and every right is needed', async (t) => {
  const folder = new URL('../../src/streams/commands/', import.meta.url)
  const inScripts = new Set(
    readdirSync(folder).flatMap((file) =>
      Array.from(
        readFileSync(new URL(file, folder), 'utf8').matchAll(/redis\.p?call\('(\w+)'(?:, '([A-Z]+)')?/g),
        ([, name = '', sub]) =>
          sub !== undefined && ['XGROUP', 'XINFO'].includes(name) ? `${name}|${sub}`.toLowerCase() : name.toLowerCase()
      )
    )
  )
  t.same([...inScripts].filter((name) => !rights.includes(name)).sort(), [])
  const used = new Set(
    Array.from((await admin.info('commandstats')).matchAll(/^cmdstat_([^:]+):/gm), ([, name = '']) => name)
  )
  const needed = (right: string) => used.has(right) || inScripts.has(right) || right.startsWith('cluster|')
  t.same(
    rights.filter((right) => !needed(right)),
    []
  )
})

t.test("what README adds for the shop's handlers is what they need", async (t) => {
  const [, more = ''] = /for those of the shop that is `([^`]+)`/.exec(readme) ?? []
  const added = more.split(' ').map((right) => right.slice(1))
  const folder = new URL('../../src/shop/', import.meta.url)
  const text = readdirSync(folder)
    .map((file) => readFileSync(new URL(file, folder), 'utf8'))
    .join('\n')
  const calls = text.matchAll(/redis\.call\('(\w+)'|\bredis\.([a-z]+)\(/g)
  const needed = new Set(Array.from(calls, ([, inLua, method]) => String(inLua ?? method).toLowerCase()))
  needed.delete('call')
  t.same([...needed].filter((name) => !rights.includes(name)).sort(), added)
})
