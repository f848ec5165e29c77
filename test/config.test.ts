import t from 'tap'
import { Config, ConfigError, loadConfig } from '../src/config.ts'

const enough = { REDIS_URL: 'redis://127.0.0.1:6379', TOPOLOGY: 'topology.ts', API_KEYS: '[]' }

function linesOf(env: Record<string, string | undefined>): string[] {
  try {
    loadConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.lines
    throw error
  }
  return []
}

t.test('what is required and missing is said in one line each', async (t) => {
  const lines = linesOf({})
  t.equal(lines.length, 3)
  for (const name of ['REDIS_URL', 'TOPOLOGY', 'API_KEYS or API_KEYS_FILE']) {
    t.equal(lines.filter((line) => line.startsWith(`${name} is required`)).length, 1, name)
  }
})

t.test('defaults are filled in, text becomes numbers, and the result is frozen', async (t) => {
  const config = loadConfig({ ...enough, PORT: '8080', UNRELATED: 'x', HOST: '' })
  t.match(config, { HOST: '127.0.0.1', PORT: 8080, BODY_LIMIT_BYTES: 1_048_576, KEY_PREFIX: '', CONSUMERS: 'on' })
  t.equal('UNRELATED' in config, false)
  t.equal(Object.isFrozen(config), true)
})

t.test('every bad value is named in its own line, and no value is repeated', async (t) => {
  const secret = 'http://user:secret@host'
  const lines = linesOf({
    ...enough,
    REDIS_URL: secret,
    PORT: '70000',
    MAX_BATCH_EVENTS: 'many',
    CONSUMERS: 'maybe',
    KEY_PREFIX: '{a}'
  })
  t.match(lines.sort(), [
    /^CONSUMERS must be one of on, off$/,
    /^KEY_PREFIX is not valid/,
    /^MAX_BATCH_EVENTS must be a whole number$/,
    /^PORT must be <= 65535$/,
    /^REDIS_URL is not valid/
  ])
  t.equal(
    lines.some((line) => line.includes('secret')),
    false
  )
})

t.test('Redis may be named by redis, rediss and unix URLs', async (t) => {
  for (const REDIS_URL of ['redis://h', 'rediss://u:p@h:1/2', 'unix:///run/redis.sock']) {
    t.same(linesOf({ ...enough, REDIS_URL }), [], REDIS_URL)
  }
  for (const REDIS_URL of ['h:6379', 'unix://run', 'http://h'])
    t.equal(linesOf({ ...enough, REDIS_URL }).length, 1, REDIS_URL)
})

t.test('every setting says what it is for', async (t) => {
  for (const [name, schema] of Object.entries(Config.properties)) t.match(schema, { description: /\.$/ }, name)
})
