import t from 'tap'
import { createConnections } from '../../src/streams/connections.ts'
import { freePort, type RedisServer, startRedis, startReplicated } from '../fixtures/redis.ts'
import { listening, numbersIn, quietLog, testStreams } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

const name = 'test:one:events'

t.test('one line says that a server is away and one that it is back, however many connections it has', async (t) => {
  const server = await startRedis(t)
  const { log, said } = listening()
  const connections = createConnections({ url: server.url }, log)
  t.teardown(() => connections.close())
  const readers = ['a', 'b'].map((key) => connections.openReader(key, key))
  t.teardown(() => readers.map((reader) => reader.disconnect()))
  await Promise.all([connections.connect(), ...readers.map((reader) => reader.connect())])
  t.equal(connections.append('a'), connections.append('b'), 'on one server the streams share a connection')
  await server.kill('SIGKILL')
  await until(() => connections.states().every(([, isUp]) => !isUp))
  await server.start()
  const all = () => readers.every(({ status }) => status === 'ready') && connections.states().every(([, isUp]) => isUp)
  await until(all)
  t.match(said, [
    { message: 'Redis connection lost, reconnecting', fields: { node: 'redis' } },
    { message: 'Redis connections are back' }
  ])
})

t.test(
  'connecting does not wait for ever: not for nobody, not for a server that hangs, not for Sentinels',
  async (t) => {
    const hanging = await startRedis(t, { port: true })
    hanging.pause()
    const port = await freePort()
    const urls = [hanging.url, `redis://127.0.0.1:${port}`, `redis+sentinel://127.0.0.1:${port}/main`]
    for (const url of [...urls, `redis+cluster://127.0.0.1:${port}`]) {
      const connections = createConnections({ url }, quietLog)
      await t.rejects(connections.connect(), url)
      t.notMatch(connections.append('a').status, 'end', 'it goes on trying')
      await connections.close()
    }
    hanging.resume()
  }
)

t.test('a replica that is away still counts: nothing is called replicated that it lacks', async (t) => {
  const { master, replicas } = await startReplicated(t, 2)
  const connected = async () => (await master.client().info('replication')).match(/state=online/g)?.length
  const streams = await testStreams(
    t,
    master.url,
    { [name]: { durability: 'replicated', replicas: 'all' } },
    { commandTimeoutMs: 600 }
  )
  await until(async () => (await streams.post(name, [1]))[0]?.stored, { what: 'both replicas answer' })
  const away = replicas[0] as RedisServer
  await away.kill('SIGKILL')
  await until(async () => (await connected()) === 1)
  t.match(await streams.post(name, [2]), [{ refusal: { code: 'durability-unknown' } }])
  await master.client().call('CLIENT', 'KILL', 'TYPE', 'normal')
  const isUnknown = async () => {
    const [result] = await streams.post(name, [3])
    return result?.stored === false && result.refusal.code === 'durability-unknown'
  }
  await until(isUnknown, { what: 'nor after a new connection' })
  await away.start()
  await until(async () => (await streams.post(name, [4]))[0]?.stored, { what: 'it is back' })
})

t.test('a server that forgot its scripts is sent what is to be waited for once more, behind the flush', async (t) => {
  const { master, replicas } = await startReplicated(t, 1)
  const replica = replicas[0] as RedisServer
  const replicated = { [name]: { durability: 'replicated', replicas: 1 } } as const
  const streams = await testStreams(t, master.url, replicated, { commandTimeoutMs: 600 })
  const first = async () => {
    const [result] = await streams.post(name, [1], { known: true })
    return result?.stored ? result : undefined
  }
  t.match(await until(first, { what: 'the replica answers in time' }), { durability: 'replicated' })
  replica.pause()
  await master.client().script('FLUSH')
  t.match(await streams.post(name, [2]), [{ stored: false }])
  replica.resume()
  t.same(await numbersIn(master.client(), streams.keys.of(name).stream), [1, 2])
})
