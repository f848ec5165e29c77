import t from 'tap'
import { startGateway } from '../fixtures/gateway.ts'
import { sendLongBody } from '../fixtures/long-body.ts'
import { startRedis } from '../fixtures/redis.ts'

const MB = 1_000_000

t.test('a body of 50 MB leaves the memory of the gateway as it is', async (t) => {
  const server = await startRedis(t)
  // With a small heap V8 collects garbage soon; what a body holds outside of it would still show.
  const NODE_OPTIONS = '--max-old-space-size=64 --max-semi-space-size=2'
  const gateway = await startGateway(t, { REDIS_URL: server.url, NODE_OPTIONS })
  await sendLongBody(gateway, 20 * MB)
  const { events, rssGrowth } = await sendLongBody(gateway, 50 * MB)
  t.ok(rssGrowth < 25 * MB, `${events} events, ${Math.round(rssGrowth / MB)} MB`)
})
