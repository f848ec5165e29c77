import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { as, testApp } from '../fixtures/app.ts'
import { portOf } from '../fixtures/http.ts'

const { app } = await testApp(t, { ADMIN_PORT: 0, ADMIN_HOST: '127.0.0.1' })
const outside = `http://127.0.0.1:${await portOf(app)}`
const inside = (await app.listenForOperators()) ?? ''
const statusOf = async (base: string, path: string, init: RequestInit = {}) =>
  (await fetch(base + path, { ...init, headers: { ...as('admin'), 'content-type': 'application/json' } })).status

t.test('with a port of their own, admin routes are not there for the public, however they are spelled', async (t) => {
  for (const path of [
    '/admin/lag',
    '/%61dmin/lag',
    '/admin/streams',
    '/admin/audit',
    '/admin/streams/users:user:events',
    '/metrics',
    '/%6detrics'
  ]) {
    t.equal(await statusOf(outside, path), 404, path)
    t.equal(await statusOf(inside, path), 200, path)
  }
  const answer = await fetch(`${outside}/admin/lag`)
  t.match([answer.status, await answer.json()], [404, { code: 'route-not-found' }])
})

t.test(
  'the rest of the API is not there for operators, and probes, description and problems are on both',
  async (t) => {
    const event = { method: 'POST', body: '{"type":"users.user.renamed","data":{"name":"n"}}' }
    t.equal(await statusOf(inside, '/events', event), 404)
    for (const path of ['/livez', '/readyz', '/openapi.json', '/problems'])
      for (const base of [outside, inside]) t.equal(await statusOf(base, path), 200, base + path)
  }
)

t.test('bytes that are not HTTP are answered there too, and both listeners end together', async (t) => {
  const socket = connect(Number(new URL(inside).port), '127.0.0.1')
  socket.end('nonsense\r\n\r\n')
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  t.match(bytes.toString(), /^HTTP\/1\.1 400[\s\S]*malformed-request/)
  await app.close()
  await t.rejects(fetch(`${inside}/livez`))
  await t.rejects(fetch(`${outside}/livez`))
})
