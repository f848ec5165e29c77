import { Agent, get } from 'node:http'
import t from 'tap'
import { testApp } from '../fixtures/app.ts'
import { portOf, post } from '../fixtures/http.ts'
import topology from '../fixtures/topology.ts'

t.test('more than the event loop can carry is refused, probes are answered, and it passes', async (t) => {
  const { app, redis, prefix } = await testApp(t, { topology })
  const port = await portOf(app)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const heavy = (id: string) =>
    post(port, JSON.stringify({ type: 'heavy.thing.done', id, data: { text: `${'a'.repeat(21)}!` } }), {}, agent)
  // Connections are accepted one a turn; what comes on those that are open is handled all in one. And a process that has
  // not served a thousand requests yet lets more wait.
  for (let served = 0; served < 1_020; served += 60) {
    await Promise.all(Array.from({ length: 60 }, () => post(port, '[]', {}, agent)))
  }
  const probed = () =>
    new Promise((resolve, reject) => {
      get({ port, host: '127.0.0.1', path: '/readyz', agent }, (answer) => resolve(answer.resume().statusCode)).on(
        'error',
        reject
      )
    })
  const wave = (name: string) => Array.from({ length: 40 }, (_, i) => heavy(`${name}${i}`))
  const first = wave('a')
  // By then it is known what such a request costs.
  await Promise.any(first)
  const second = wave('b')
  const probes = await Promise.all(Array.from({ length: 20 }, probed))
  const answers = await Promise.all([...first, ...second])
  t.same(new Set(probes), new Set([200]))
  const refused = answers.filter(({ status }) => status === 503)
  t.ok(refused.length > 0, `${refused.length} of 80 are refused`)
  for (const { body, headers } of refused) {
    t.equal(body.code, 'overloaded')
    t.match(headers['retry-after'], /^[123]$/)
  }
  t.ok(refused.length < 80, 'others are served')
  t.equal(await redis.xlen(`${prefix}heavy:thing:done`), 80 - refused.length)
  t.equal((await heavy('last')).status, 202)
})
