import t from 'tap'
import { as, testApp } from '../fixtures/app.ts'

interface Operation {
  operationId: string
  security?: unknown[]
  requestBody?: object
}

const keys = ['publish', 'observe', 'read', 'admin'].map((scope) => ({ name: scope, scopes: [scope] }))
const { app, redis } = await testApp(t, { keys, CONSUMERS: 'off' })
const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, Operation>> }
const operations = Object.entries(paths)
  .filter(([path]) => path.startsWith('/admin'))
  .flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      ...operation,
      method: method.toUpperCase() as 'GET' | 'POST' | 'PUT' | 'DELETE',
      url: path
        .replace('{stream}', 'orders:order:created')
        .replace('{group}', 'order_processors')
        .replace('{entryId}', '1-1')
        .replace('{deadLetterId}', '1-1')
        .replace('{replayId}', 'x')
        .replace('{consumer}', 'x')
    }))
  )
operations.push({ operationId: 'tail', method: 'GET', url: '/admin/streams/orders:order:created/tail' })

/** What shows no payload. */
const observed = new Set(['listStreams', 'getStream', 'getLag', 'getGroup', 'getRebuild', 'listConsumers'])
/** What reads and is not for readers. */
const adminReads = new Set(['getReplay', 'listAudit'])

async function statusOf({ method, url, requestBody }: (typeof operations)[number], who?: string): Promise<number> {
  const headers = who === undefined ? {} : as(who)
  return (await app.inject({ method, url, headers, ...(requestBody === undefined ? {} : { payload: {} }) })).statusCode
}

t.test('no admin route answers without a key of the right scope', async (t) => {
  t.ok(operations.length > 25)
  for (const operation of operations) {
    const { operationId, method } = operation
    t.equal(await statusOf(operation), 401, operationId)
    t.equal(await statusOf(operation, 'nobody'), 401, operationId)
    t.equal(await statusOf(operation, 'publish'), 403, operationId)
    if (!observed.has(operationId)) t.equal(await statusOf(operation, 'observe'), 403, operationId)
    if (method !== 'GET' || adminReads.has(operationId)) t.equal(await statusOf(operation, 'read'), 403, operationId)
  }
})

t.test('a key with read changes nothing in Redis, whatever it asks', async (t) => {
  const contents = async () => {
    const names = (await redis.keys('*')).toSorted()
    return Promise.all(names.map(async (name) => [name, (await redis.dump(name))?.length]))
  }
  const before = await contents()
  for (const operation of operations) if (operation.operationId !== 'tail') await statusOf(operation, 'read')
  t.same(await contents(), before)
})

t.test('a name in a path reaches no other key: it is refused, or found nowhere', async (t) => {
  const names = ['a{b}', '{a}', '*', '?', '[a]', 'a b', 'a\u0000b', 'a\r\nb', 'é', '..', 'a/b', '', 'x'.repeat(211)]
  for (const { method, url, requestBody, operationId } of operations) {
    if (!url.includes('/streams/')) continue
    for (const name of names) {
      const places = ['orders:order:created', 'order_processors'].filter((place) => url.includes(place))
      for (const place of places) {
        const path = url.replace(place, encodeURIComponent(name))
        const body = requestBody === undefined ? {} : { payload: {} }
        const { statusCode } = await app.inject({ method, url: path, headers: as('admin'), ...body })
        if (name === '' || name === '..')
          t.ok([400, 404, 405].includes(statusCode), `${operationId} '${name}' ${statusCode}`)
        else t.equal(statusCode, 400, `${operationId} ${JSON.stringify(name)}`)
      }
    }
  }
  const long = await app.inject({ url: `/admin/streams/${'x'.repeat(10_000)}`, headers: as('admin') })
  t.equal(long.statusCode, 414)
})
