import t from 'tap'
import { startGateway } from '../fixtures/gateway.ts'
import { sendLongBody } from '../fixtures/long-body.ts'
import { startRedis } from '../fixtures/redis.ts'

const MB = 1_000_000

t.test('a body of 50 MB takes no memory', { skip: process.platform !== 'linux' }, async (t) => {
  const server = await startRedis(t)
  const gateway = await startGateway(t, { REDIS_URL: server.url })
  await sendLongBody(gateway, 10 * MB)
  const { events, rssGrowth } = await sendLongBody(gateway, 50 * MB)
  t.ok(rssGrowth < 35 * MB, `${events} events, ${Math.round(rssGrowth / MB)} MB`)
})
