import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import t from 'tap'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { as, keysJson, testApp, testTopology } from '../fixtures/app.ts'
import { startRedis } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

t.test('alive and ready with Redis; without it alive, and ready but degraded', async (t) => {
  const { app, server } = await testApp(t)
  t.same((await app.inject('/livez')).json(), { status: 'ok' })
  const ready = await app.inject('/readyz')
  t.equal(ready.statusCode, 200)
  t.same(ready.json(), { status: 'ok', parts: { redis: 'ok', queue: 'ok' } })
  await server.kill('SIGKILL')
  await until(async () => (await app.inject('/readyz')).json().status === 'degraded')
  const degraded = await app.inject('/readyz')
  t.equal(degraded.statusCode, 200)
  t.equal(degraded.json().parts.redis, 'down')
  t.equal((await app.inject('/livez')).statusCode, 200)
})

t.test('the gateway starts without Redis, says so, and works as soon as it is there', async (t) => {
  const server = await startRedis(t)
  await server.stop()
  const config = loadConfig({
    REDIS_URL: server.url,
    TOPOLOGY: 'given',
    LOG_LEVEL: 'silent',
    COMMAND_TIMEOUT_MS: '100',
    API_KEYS: keysJson([{ name: 'publisher', scopes: ['publish'] }])
  })
  const app = buildApp(config, { topology: testTopology })
  t.teardown(() => app.close())
  await app.ready()
  const payload = { type: 'users.user.renamed', data: { name: 'Ada' } }
  const headers = { ...as('publisher'), 'content-type': 'application/json' }
  const post = () => app.inject({ method: 'POST', url: '/events', payload, headers })
  t.equal((await app.inject('/readyz')).json().status, 'degraded')
  t.equal((await post()).json().code, 'store-down')
  await server.start()
  await until(async () => (await post()).statusCode === 202)
  t.equal((await app.inject('/readyz')).json().status, 'ok')
})

t.test('while draining, a connection that is still open is answered 503 and told to close', async (t) => {
  const { app } = await testApp(t)
  await app.listen()
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  let received = ''
  socket.on('data', (chunk) => {
    received += chunk
  })
  // A request that has begun keeps its connection from being closed as idle.
  socket.write('GET /readyz HTTP/1.1\r\nhost: x\r\n')
  await until(() => socket.bytesWritten > 0)
  await until(
    () => new Promise<boolean>((resolve) => app.server.getConnections((_error, count) => resolve(count === 1)))
  )
  const closed = app.close()
  await until(() => !app.server.listening)
  socket.write('\r\n')
  await once(socket, 'close')
  await closed
  t.match(received, /^HTTP\/1\.1 503 /)
  t.match(received, /connection: close/i)
  t.match(received, /"status":"draining"/)
})
