import { once } from 'node:events'
import { request } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { as, testApp } from '../fixtures/app.ts'
import { until } from '../fixtures/until.ts'

/** Sends bytes as they are and returns everything that comes back until the server closes. */
async function raw(
  app: FastifyInstance,
  bytes: string
): Promise<{ status: number; headers: string; body: Record<string, unknown> }> {
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1')
  socket.write(bytes)
  const answer = await text(socket)
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  return { status: Number(head.split(' ')[1]), headers: head.toLowerCase(), body: JSON.parse(body) }
}

t.test('bytes that are not HTTP are answered with a problem and the end of the connection', async (t) => {
  const { app } = await testApp(t)
  await app.listen()
  const nonsense = await raw(app, 'THIS IS NOT HTTP\r\n\r\n')
  t.equal(nonsense.status, 400)
  t.equal(nonsense.body.code, 'malformed-request')
  for (const header of [
    'content-type: application/problem+json',
    `x-request-id: ${String(nonsense.body.instance).toLowerCase()}`,
    'connection: close',
    'cache-control: no-store'
  ]) {
    t.ok(nonsense.headers.includes(header), header)
  }
  const overflow = await raw(app, `GET / HTTP/1.1\r\nhost: x\r\nx-long: ${'x'.repeat(20_000)}\r\n\r\n`)
  t.equal(overflow.status, 431)
  t.equal(overflow.body.code, 'headers-too-large')
})

t.test(
  'a body over the limit is refused while it is still being sent, whether its length was announced or not',
  async (t) => {
    const { app, redis, prefix } = await testApp(t, { BODY_LIMIT_BYTES: 100_000 })
    await app.listen()
    const { port } = app.server.address() as AddressInfo
    for (const announced of [true, false]) {
      const headers = {
        ...as('publisher'),
        'content-type': 'application/json',
        ...(announced ? { 'content-length': 10_000_000 } : {})
      }
      const sending = request({ port, method: 'POST', path: '/events', headers })
      sending.on('error', () => undefined)
      sending.write(Buffer.alloc(200_000, 0x20))
      const [answer] = await once(sending, 'response')
      t.equal(answer.statusCode, 413)
      t.equal((JSON.parse(await text(answer)) as { code: string }).code, 'body-too-large')
      sending.destroy()
    }
    t.equal(await redis.xlen(`${prefix}orders:order:created`), 0)
  }
)

t.test('without a key the body is never waited for', async (t) => {
  const { app } = await testApp(t)
  await app.listen()
  const { port } = app.server.address() as AddressInfo
  const sending = request({
    port,
    method: 'POST',
    path: '/events',
    headers: { 'content-type': 'application/json', 'content-length': 1_000 }
  })
  sending.on('error', () => undefined)
  sending.flushHeaders()
  const [answer] = await once(sending, 'response')
  t.equal(answer.statusCode, 401)
  sending.destroy()
})

t.test(
  'closing finishes the request that is open and then ends, although the client keeps its connection',
  async (t) => {
    const { app, server, redis, prefix } = await testApp(t, { COMMAND_TIMEOUT_MS: 10_000 })
    await app.listen()
    const { port } = app.server.address() as AddressInfo
    server.pause()
    const body = JSON.stringify({ type: 'orders.order.created', data: { orderId: 'o1', amount: 1 } })
    const answered = fetch(`http://127.0.0.1:${port}/events`, {
      method: 'POST',
      body,
      headers: { ...as('publisher'), 'content-type': 'application/json' }
    })
    await until(() => app.streams.health().queuedEvents === 1)
    const closed = app.close()
    await until(() => !app.server.listening)
    server.resume()
    const answer = await answered
    t.equal(answer.status, 202)
    await answer.text()
    await closed
    t.equal(await redis.xlen(`${prefix}orders:order:created`), 1)
  }
)
