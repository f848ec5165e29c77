import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { sign } from '@octokit/webhooks-methods'
import t from 'tap'
import { gateway, post } from './gateway.ts'

const secret = 'a-secret-of-the-test'
const events: { name: string; examples: object[] }[] = createRequire(import.meta.url)('@octokit/webhooks-examples')

const deliveries = await Promise.all(
  events.flatMap(({ name, examples }) =>
    examples.map(async (payload) => {
      const body = JSON.stringify(payload)
      const headers = {
        'content-type': 'application/json',
        'x-github-event': name,
        'x-github-delivery': randomUUID(),
        'x-hub-signature-256': await sign(secret, body)
      }
      return { name, body, headers }
    })
  )
)

t.test('every real delivery of GitHub is stored once with its bytes; sent again, nothing is stored', async (t) => {
  const sources = { github: { preset: 'github' } }
  const g = await gateway(t, { sources }, { WEBHOOK_SECRET_GITHUB: secret })
  t.ok(deliveries.length > 300, `${deliveries.length} deliveries`)
  const round = async () => {
    const answers = []
    for (let at = 0; at < deliveries.length; at += 20) {
      const some = deliveries.slice(at, at + 20).map(({ headers, body }) => post(g, 'github', headers, body))
      answers.push(...(await Promise.all(some)))
    }
    return answers.map((answer) => ({ status: answer.statusCode, ...answer.json() }))
  }

  // A few of the examples are the same payload twice, which is one event: GitHub signs nothing but the body.
  const distinct = new Map(deliveries.map((delivery) => [delivery.body, delivery]))
  t.ok(distinct.size > deliveries.length - 10)
  const first = await round()
  t.ok(first.every(({ status }) => status === 200))
  t.equal(first.filter(({ duplicate }) => !duplicate).length, distinct.size)
  const stored = await g.stored('github')
  t.equal(stored.length, distinct.size)
  const byBody = new Map(stored.map((event) => [event.data ?? '', event]))
  for (const { name, body } of deliveries) t.equal(byBody.get(body)?.type, `github.${name}`)
  const ids: Set<string> = new Set(deliveries.map(({ headers }) => headers['x-github-delivery']))
  for (const { id } of stored) t.ok(ids.has(id))

  const second = await round()
  t.ok(second.every(({ status, duplicate }) => status === 200 && duplicate === true))
  t.same(
    second.map(({ entryId }) => entryId),
    first.map(({ entryId }) => entryId)
  )
  t.equal((await g.stored('github')).length, stored.length)
})
