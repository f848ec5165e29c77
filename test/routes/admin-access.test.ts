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
      path
    }))
  )
operations.push({ operationId: 'tail', method: 'GET', path: '/admin/streams/{stream}/tail' })

const named: Record<string, string> = {
  stream: 'orders:order:created',
  group: 'order_processors',
  entryId: '1-1',
  deadLetterId: '1-1',
  replayId: 'x',
  consumer: 'x'
}
/** The least that each body must hold. */
const bodies: Record<string, object> = {
  setHardLimit: { hardLimit: 1_000_000 },
  trimStream: { maxLength: 1 },
  seekGroup: { to: 'end' },
  ackPending: { ids: ['1-1'] },
  discardDeadLetters: { filter: {} }
}

/** What shows no payload. */
const observed = new Set(['listStreams', 'getStream', 'getLag', 'getGroup', 'getRebuild', 'listConsumers'])
/** What reads and is not for readers. */
const adminReads = new Set(['listReplays', 'getReplay', 'listAudit'])

async function ask({ operationId, method, path, requestBody }: (typeof operations)[number], who?: string, names = {}) {
  const all: Record<string, string> = { ...named, ...names }
  const url = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(String(all[name])))
  const body = requestBody === undefined ? {} : { payload: bodies[operationId] ?? {} }
  return app.inject({ method, url, headers: who === undefined ? {} : as(who), ...body })
}

async function statusOf(operation: (typeof operations)[number], who?: string): Promise<number> {
  return (await ask(operation, who)).statusCode
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

t.test('a name in a path reaches no other key: it is refused, in every admin route', async (t) => {
  const hostile = ['a{b}', '{a}', '*', 'a\u0000b', 'a\r\nb', 'x'.repeat(10_000)]
  // Consumers have whatever names other services gave them.
  const unknown = ['?', '[a]', 'a b', 'é', 'a/b', 'x'.repeat(211)]
  for (const operation of operations) {
    for (const [, parameter = ''] of operation.path.matchAll(/\{(\w+)\}/g)) {
      for (const name of parameter === 'consumer' ? hostile : [...hostile, ...unknown]) {
        const answer = await ask(operation, 'admin', { [parameter]: name })
        t.match(
          [answer.statusCode, answer.json().code],
          [400, 'invalid-parameter'],
          `${operation.operationId} ${parameter} ${JSON.stringify(name.slice(0, 20))}`
        )
      }
      for (const name of ['', '..']) {
        const { statusCode } = await ask(operation, 'admin', { [parameter]: name })
        t.ok([400, 404, 405].includes(statusCode), `${operation.operationId} ${parameter} '${name}' ${statusCode}`)
      }
    }
  }
})

t.test('what the topology and Redis do not have is not found, in every admin route', async (t) => {
  const codes = { stream: 'stream-not-found', group: 'group-not-found' }
  for (const operation of operations) {
    for (const [parameter, code] of Object.entries(codes)) {
      if (!operation.path.includes(`{${parameter}}`)) continue
      if (parameter === 'group' && operation.operationId === 'putGroup') continue
      const answer = await ask(operation, 'admin', { [parameter]: 'nowhere' })
      t.match([answer.statusCode, answer.json().code], [404, code], `${operation.operationId} ${parameter}`)
    }
  }
})
