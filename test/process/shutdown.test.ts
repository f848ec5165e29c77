import { once } from 'node:events'
import { Agent } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { type GatewayProcess, startGateway } from '../fixtures/gateway.ts'
import { post } from '../fixtures/http.ts'
import { startRedis } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

const server = await startRedis(t)
const redis = server.client()
const stream = 'orders:order:created'

const order = (id: string) => JSON.stringify({ type: 'orders.order.created', id, data: { orderId: id, amount: 1 } })
const start = (env: Record<string, string>) => startGateway(t, { REDIS_URL: server.url, ...env })
const readiness = async ({ port }: GatewayProcess) => (await fetch(`http://127.0.0.1:${port}/readyz`)).status
const isStored = async (id: string) => (await redis.xrange(stream, '-', '+')).some(([, fields]) => fields[1] === id)

/** Begins a request that never ends; resolves once the gateway has seen it begin. */
async function neverEnding({ port }: GatewayProcess) {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.write('POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer publisher\r\n')
  // The gateway answers this only if it reads the head above.
  socket.write('content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n')
  await once(socket, 'data')
  return socket
}

t.test(
  'after SIGTERM it is not ready and takes requests all the same, each told to close; then it exits 0',
  async (t) => {
    const gateway = await start({ DRAIN_DELAY_MS: '1500' })
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => agent.destroy())
    const before = await post(gateway.port, order('before'), {}, agent)
    t.match(before, { status: 202, headers: { connection: 'keep-alive' } })
    const exit = gateway.kill('SIGTERM')
    await until(async () => (await readiness(gateway)) === 503, { what: 'it says that it is not ready' })
    const old = await post(gateway.port, order('old-connection'), {}, agent)
    t.match(old, { status: 202, headers: { connection: 'close' } }, 'on the connection that was open')
    const fresh = await post(gateway.port, order('new-connection'))
    t.match(fresh, { status: 202, headers: { connection: 'close' } }, 'on a new connection')
    t.equal(await exit, 0)
    for (const id of ['before', 'old-connection', 'new-connection']) t.ok(await isStored(id), id)
    await t.rejects(readiness(gateway), 'nobody listens any more')
  }
)

t.test('what waits for Redis when SIGTERM comes is stored and answered first', async (t) => {
  const gateway = await start({ COMMAND_TIMEOUT_MS: '10000' })
  await post(gateway.port, order('first'))
  server.pause()
  const answer = post(gateway.port, order('waiting'))
  // Meanwhile it has begun the request before these.
  for (let n = 0; n < 3; n += 1) t.equal(await readiness(gateway), 200)
  const exit = gateway.kill('SIGTERM')
  await until(
    () =>
      readiness(gateway).then(
        () => false,
        () => true
      ),
    { what: 'it listens no more' }
  )
  server.resume()
  t.match(await answer, { status: 202, headers: { connection: /./ } })
  t.equal(await exit, 0)
  t.ok(await isStored('waiting'))
})

t.test('a request that never ends is cut when the grace is over, and the exit is still in order', async (t) => {
  const gateway = await start({ SHUTDOWN_GRACE_MS: '300' })
  const socket = await neverEnding(gateway)
  const closed = once(socket, 'close')
  t.equal(await gateway.kill('SIGTERM'), 0)
  await closed
})

t.test('a second signal ends it at once, with exit status 1', async (t) => {
  const gateway = await start({ SHUTDOWN_GRACE_MS: '600000' })
  await neverEnding(gateway)
  t.equal((await post(gateway.port, order('answered'))).status, 202)
  const exit = gateway.kill('SIGTERM')
  await until(
    () =>
      readiness(gateway).then(
        () => false,
        () => true
      ),
    { what: 'it listens no more' }
  )
  void gateway.kill('SIGTERM')
  t.equal(await exit, 1)
  t.ok(await isStored('answered'))
})
