import t from 'tap'
import { checkServerVersion, versionFrom } from '../../src/streams/server-version.ts'
import { type RedisServer, startRedis, startReplicated } from '../fixtures/redis.ts'
import { testStreams } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

const name = 'test:one:events'
const always = ['--appendonly', 'yes', '--appendfsync', 'always']

t.test('an answer claims what Redis keeps by itself, and asks again after every reconnect', async (t) => {
  const server = await startRedis(t, { args: always })
  const streams = await testStreams(t, server.url, { [name]: {} })
  t.match(await streams.post(name, [1]), [{ durability: 'fsync' }])
  const redis = server.client()
  await redis.config('SET', 'no-appendfsync-on-rewrite', 'yes')
  await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  const weaker = async () => {
    const [result] = await streams.post(name, [2])
    return result?.stored && result.durability === 'memory'
  }
  await until(weaker, { what: 'the weaker claim' })
})

t.test('a stream that demands fsync refuses to start on a Redis without it, and says why', async (t) => {
  const server = await startRedis(t)
  await t.rejects(testStreams(t, server.url, { [name]: { durability: 'fsync' } }), {
    name: 'StartupError',
    message: `The stream '${name}' demands durability 'fsync': Redis has appendonly no, appendfsync everysec: set appendonly yes, appendfsync always, or ask the stream for less`
  })
  await t.rejects(testStreams(t, server.url, { [name]: {} }, { durability: 'fsync' }), { name: 'StartupError' })
  const memory = await testStreams(t, server.url, { [name]: { durability: 'memory' } }, { durability: 'fsync' })
  t.match(await memory.post(name, [1]), [{ durability: 'memory' }], 'what the stream says comes first')
})

t.test(
  'a user without CONFIG and INFO works, and what cannot be seen is not claimed unless it is declared',
  async (t) => {
    const server = await startRedis(t, { args: always, port: true })
    await server
      .client()
      .call('ACL', 'SETUSER', 'gate', 'on', '>secret', '~*', '&*', '+@all', '-config', '-info', '-command')
    const url = `redis://gate:secret@127.0.0.1:${server.port}`
    const said: string[] = []
    const log = { debug() {}, info: (_: object, text: string) => said.push(text), warn() {}, error() {} }
    const unsure = await testStreams(t, url, { [name]: {} }, { log })
    t.match(await unsure.post(name, [1]), [{ stored: true, durability: 'memory' }])
    t.match(said.join(), /does not say how it stores/)
    await t.rejects(testStreams(t, url, { [name]: { durability: 'fsync' } }), /declare it with DURABILITY=fsync/)
    const declared = await testStreams(t, url, { [name]: { durability: 'fsync' } }, { durability: 'fsync' })
    t.match(await declared.post(name, [1]), [{ durability: 'fsync' }])
  }
)

t.test('replicated is claimed only when the replicas have it, and a retry of the same key waits again', async (t) => {
  const { master, replicas } = await startReplicated(t, 1)
  const replica = replicas[0] as RedisServer
  const streams = await testStreams(
    t,
    master.url,
    { [name]: { durability: 'replicated', replicas: 'all' } },
    { commandTimeoutMs: 800 }
  )
  t.match(await streams.post(name, [1], { known: true }), [{ stored: true, durability: 'replicated' }])
  replica.pause()
  t.match(await streams.post(name, [2], { known: true }), [{ stored: false, refusal: { code: 'durability-unknown' } }])
  t.match(
    await streams.post(name, [1], { known: true }),
    [{ refusal: { code: 'durability-unknown' } }],
    'nor for what was there before'
  )
  replica.resume()
  const again = async () => {
    const [result] = await streams.post(name, [2], { known: true })
    return result?.stored && result
  }
  t.match(await until(again, { what: 'the retry' }), { duplicate: true, durability: 'replicated' })
  t.equal(await replica.client().xlen(streams.keys.of(name).stream), 2, 'stored once')
})

t.test('a Redis below 7.0 is named as too old, and a Valkey never is', async (t) => {
  t.equal(versionFrom('# Server\r\nredis_version:6.2.16\r\n'), '6.2.16')
  t.equal(versionFrom('# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n'), undefined)
  const server = await startRedis(t)
  await checkServerVersion(server.client())
})
