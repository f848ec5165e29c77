/**
 * Tests of publishing that are run against one server elsewhere, run against a cluster. They share it, one after the
 * other, each behind a prefix of its own, so that their streams lie on all of its nodes.
 */
import t from 'tap'
import { as, testApp } from '../fixtures/app.ts'
import { startCluster } from '../fixtures/cluster.ts'
import { startGateway } from '../fixtures/gateway.ts'
import { isAllDone, postOnce } from '../fixtures/posting.ts'
import { recording } from '../fixtures/recorded.ts'
import { shareRedis } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

const cluster = await startCluster(t, { masters: 3 })
shareRedis(cluster.asServer())

t.test(
  'ten requests at once under each of ten keys or ids store one event each, over a broken connection',
  async (t) => {
    const { app, redis, prefix } = await testApp(t)
    const post = async (n: number, by: 'key' | 'id') => {
      const headers = { ...as('publisher'), ...(by === 'key' ? { 'idempotency-key': `k${n}` } : {}) }
      const payload = {
        ...{ type: 'orders.order.created', data: { orderId: `o${n}`, amount: 1 } },
        ...(by === 'id' ? { id: `e${n}` } : {})
      }
      const answer = await app.inject({ method: 'POST', url: '/events', headers, payload })
      return { status: answer.statusCode, ...answer.json() }
    }
    for (const by of ['key', 'id'] as const) {
      const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => post(i % 10, by)))
      t.ok(answers.every(({ status }) => status === 202))
      t.equal(answers.filter(({ duplicate }) => !duplicate).length, 10)
      t.equal(new Set(answers.map(({ entryId }) => entryId)).size, 10)

      await Promise.all(cluster.nodes.map((node) => node.redis.call('CLIENT', 'KILL', 'TYPE', 'normal')))
      const again = await until(async () => {
        const answer = await post(7, by)
        return answer.status === 202 && answer
      })
      t.match(again, { duplicate: true, entryId: answers[7]?.entryId })
    }
    t.equal(await redis.xlen(`${prefix}orders:order:created`), 20)
  }
)

await import('../shop/orders.test.ts')
// Its last test stops every node.
await import('../routes/events.test.ts')

t.test(
  'a gateway that starts while a node is away serves the streams of the others; its own when it is back',
  async (t) => {
    const [away, here] = ['test:blue:posted', 'test:green:posted']
    const { env, unhandled } = await recording(t, { [away]: {}, [here]: {} })
    const node = await cluster.masterOf(away)
    t.not(await cluster.masterOf(here), node)
    await node.kill()
    const { port } = await startGateway(t, { REDIS_URL: cluster.url, ...env })
    t.match(await postOnce(port, here, 'early'), { status: 202 })
    t.match(await postOnce(port, away, 'late'), { status: 503, code: 'store-down' })
    await until(() => unhandled(['early']).length === 0)
    await node.restart()
    await until(async () => (await postOnce(port, away, 'late')).status === 202)
    await until(() => unhandled(['late']).length === 0)
    await until(() => isAllDone(port))
  }
)
