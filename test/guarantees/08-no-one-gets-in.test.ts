import type { HTTPMethods, RouteOptions } from 'fastify'
import t from 'tap'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import type { Action } from '../../src/plugins/scopes.ts'
import { as, keysJson, testTopology } from '../fixtures/app.ts'

const scopes: Action[] = ['publish', 'observe', 'read', 'admin']
/** A key's own scope, and what it may do besides. */
const enough: Record<Action, Action[]> = {
  publish: ['publish'],
  observe: ['observe', 'read', 'admin'],
  read: ['read', 'admin'],
  admin: ['admin']
}

const config = loadConfig({
  REDIS_URL: 'redis://127.0.0.1:1',
  TOPOLOGY: 'given',
  LOG_LEVEL: 'silent',
  CONSUMERS: 'off',
  API_KEYS: keysJson([
    ...scopes.map((scope) => ({ name: scope, scopes: [scope] })),
    ...scopes.map((scope) => ({
      name: `${scope}-elsewhere`,
      scopes: [scope === 'observe' ? scope : `${scope}:other:*`]
    }))
  ])
})
const app = buildApp(config, { topology: testTopology, offline: true })
t.teardown(() => app.close())
const routes: RouteOptions[] = []
app.addHook('onRoute', (route) => void routes.push(route))
await app.ready()

const guarded = routes.filter(({ config }) => config?.public === undefined)
const scopesOf = ({ config }: RouteOptions) => [config?.scope ?? []].flat() as Action[]

/** Asks a route for its status as the key of that name; without a name, without a key. */
async function statusOf({ method, url }: RouteOptions, key?: string, more = {}): Promise<number> {
  const path = url.replace(':stream', 'orders:order:created').replace(/:[A-Za-z]+/g, '1-1')
  const headers = { ...(key === undefined ? {} : as(key)), ...more }
  return (await app.inject({ method: [method].flat()[0] as HTTPMethods as 'GET', url: path, headers })).statusCode
}

t.test('what answers anybody is known by name: probes, descriptions, and what is signed', async (t) => {
  const known = new Set(['/livez', '/readyz', '/openapi.json', '/problems'])
  for (const { url, config } of routes)
    if (config?.public === true) t.ok(known.has(url) || /^\/(webhooks|docs)(\/|$)/.test(url), url)
  t.ok(guarded.length >= 9, `${guarded.length} routes ask for a key`)
})

for (const route of guarded) {
  const name = `${route.method} ${route.url}`

  t.test(`${name} answers 401 without a key it knows`, async (t) => {
    t.equal(await statusOf(route), 401)
    t.equal(await statusOf(route, 'stranger'), 401)
    t.equal(await statusOf(route, 'é'), 401)
    t.equal(await statusOf(route, undefined, { authorization: 'Basic YWRtaW46YWRtaW4=' }), 401)
    t.equal(await statusOf(route, undefined, { authorization: 'Bearer ' }), 401)
    t.equal(await statusOf(route, undefined, { cookie: 'authorization=Bearer admin', 'x-api-key': 'admin' }), 401)
  })

  t.test(
    `${name} answers 403 with a key of another scope or for other streams, and lets the right one in`,
    async (t) => {
      const allowed = scopesOf(route).flatMap((scope) => enough[scope])
      for (const scope of scopes) {
        const status = await statusOf(route, scope)
        if (allowed.includes(scope)) t.ok(status !== 401 && status !== 403, `${scope} is let in (${status})`)
        else t.equal(status, 403, scope)
        if (route.url.includes(':stream') && scope !== 'observe')
          t.equal(await statusOf(route, `${scope}-elsewhere`), 403)
      }
    }
  )
}
