import { Agent } from 'node:http'
import t from 'tap'
import { startGateway } from '../fixtures/gateway.ts'
import { post } from '../fixtures/http.ts'
import { startRedis } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

const stream = 'orders:order:created'

function order(id: string): string {
  return JSON.stringify({ type: 'orders.order.created', id, data: { orderId: id, amount: 1 } })
}

t.test('what was answered 202 is in its stream after the gateway and Redis were killed in the middle', async (t) => {
  const server = await startRedis(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const redis = server.client()
  const promised = new Map<string, string | undefined>()
  let unanswered = 0
  for (let round = 0; round < 4; round += 1) {
    const gateway = await startGateway(t, { REDIS_URL: server.url })
    const agent = new Agent({ keepAlive: true })
    let n = 0
    let answered = 0
    let dead = false
    const next = () => {
      n += 1
      return `r${round}-${n}`
    }
    /** Sends one request after the other until the gateway is gone; `ids` come into the promise with its 202. */
    const send = async (ids: string[], body: string, headers: Record<string, string> = {}) => {
      const answer = await post(gateway.port, body, headers, agent).catch(() => undefined)
      if (answer === undefined) {
        unanswered += ids.length
        return
      }
      if (answer.status !== 202) return
      t.match(answer.body.durability, 'fsync')
      answered += 1
      const results = answer.body.results ?? [answer.body]
      for (const [i, id] of ids.entries()) promised.set(id, results[i]?.entryId)
    }
    const senders = Array.from({ length: 24 }, async (_, kind) => {
      while (!dead) {
        const ids = Array.from({ length: kind % 3 === 0 ? 1 : 20 }, next)
        if (kind % 3 === 0) await send(ids, order(ids[0] as string))
        else if (kind % 3 === 1) await send(ids, `[${ids.map(order)}]`)
        else await send(ids, ids.map(order).join('\n'), { 'content-type': 'application/x-ndjson' })
      }
    })
    await until(() => answered > 200 + round * 97)
    // Both at once, in the middle of whatever they do.
    await Promise.all([gateway.kill('SIGKILL'), server.kill('SIGKILL')])
    dead = true
    await Promise.all(senders)
    agent.destroy()
    await server.start()
  }
  const entries = new Map((await redis.xrange(stream, '-', '+')).map(([entryId, fields]) => [fields[1], entryId]))
  const missing = [...promised].filter(
    ([id, entryId]) => !entries.has(id) || (entryId ?? entries.get(id)) !== entries.get(id)
  )
  t.same(missing, [], 'nothing that was promised is missing')
  t.ok(promised.size > 4_000, `${promised.size} events were promised, ${unanswered} were cut off`)
  t.ok(unanswered > 0, 'there were requests in the middle of everything')
})
