import t from 'tap'
import { as, testApp, testTopology } from '../fixtures/app.ts'

t.test('the types are listed by name, with their stream and the schema of their data', async (t) => {
  const { app } = await testApp(t)
  const { items } = (await app.inject({ url: '/types', headers: as('publisher') })).json()
  t.same(
    items.map(({ type, stream }: Record<string, string>) => [type, stream]),
    [
      ['orders.order.created', 'orders:order:created'],
      ['users.user.renamed', 'users:user:events']
    ]
  )
  const schema = testTopology.streams.get('users:user:events')?.types.get('users.user.renamed')
  t.same(items[1].schema, JSON.parse(JSON.stringify(schema)))
})

t.test('openapi.json is the description of this topology', async (t) => {
  const { app } = await testApp(t)
  const document = (await app.inject('/openapi.json')).json()
  t.equal(document.openapi, '3.0.3')
  t.ok('UsersUserRenamed' in document.components.schemas)
})
