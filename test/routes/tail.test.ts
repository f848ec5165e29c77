import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import t from 'tap'
import { as } from '../fixtures/app.ts'
import { portOf } from '../fixtures/http.ts'
import { operatorScene, type Scene, stream } from '../fixtures/operators.ts'
import { until } from '../fixtures/until.ts'

interface Tail {
  response: IncomingMessage
  text: () => string
  messages: () => { id: string; data: { entryId: string; event: { id: string; data: object } } }[]
  close: () => void
}

async function open(scene: Scene, query = '', more: Record<string, string> = {}): Promise<Tail> {
  const port = await portOf(scene.app)
  const headers = { ...as('admin'), ...more }
  const request = get({ host: '127.0.0.1', port, path: `/admin/streams/${stream}/tail${query}`, headers, agent: false })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  if (response.statusCode !== 200) throw new Error(`answered ${response.statusCode}`)
  let text = ''
  response.setEncoding('utf8')
  response.on('data', (part) => {
    text += part
  })
  response.on('error', () => undefined)
  await until(() => text.includes('\n\n'), { what: 'the tail says something' })
  return {
    response,
    text: () => text,
    messages: () =>
      text
        .split('\n\n')
        .filter((message) => message.startsWith('id: '))
        .map((message) => {
          const [first = '', ...lines] = message.split('\n')
          return { id: first.slice(4), data: JSON.parse(lines.map((line) => line.slice('data: '.length)).join('\n')) }
        }),
    close: () => request.destroy()
  }
}

/** However it ends. */
function closed({ response }: Tail): Promise<unknown> {
  return new Promise((resolve) => response.once('close', resolve))
}

t.test('a tail shows entries as they are stored, goes on after Last-Event-ID, and filters', async (t) => {
  const scene = await operatorScene(t, {})
  await scene.publish(['before'])
  const tail = await open(scene)
  t.equal(tail.response.headers['content-type'], 'text/event-stream')
  t.ok(tail.response.headers['x-request-id'])
  const payload = '{"id":"odd","source":"/s","type":"orders.order.created","data":{"orderId":"a\\nb",\n\r\n  "x": 1}}'
  const headers = { ...as('publisher'), 'content-type': 'application/json' }
  await scene.app.inject({ method: 'POST', url: '/events', payload, headers })
  const ids = await scene.publish(['e1', 'e2'])
  await until(() => tail.messages().length === 3)
  t.same(
    tail.messages().map(({ data }) => data.event.id),
    ['odd', 'e1', 'e2']
  )
  t.same(tail.messages()[0]?.data.event.data, { orderId: 'a\nb', x: 1 })
  t.equal(tail.messages()[1]?.id, ids[0])
  tail.close()

  const later = await open(scene, '', { 'last-event-id': ids[0] as string })
  await until(() => later.messages().length === 1)
  t.equal(later.messages()[0]?.data.entryId, ids[1])
  later.close()

  const filtered = await open(scene, '?subject=subject-e9')
  await scene.publish(['e8', 'e9'])
  await until(() => filtered.messages().length === 1)
  t.equal(filtered.messages()[0]?.data.event.id, 'e9')
  await until(() => filtered.text().includes(': nothing new'), { what: 'a heartbeat' })
  filtered.close()
})

t.test('a tail needs read, a stream that exists and an id that is one', async (t) => {
  const { call } = await operatorScene(t, {})
  t.equal((await call('GET', 'tail', undefined, 'observer')).http, 403)
  t.equal((await call('GET', '/admin/streams/no:such:stream/tail')).code, 'stream-not-found')
  t.equal((await call('GET', 'tail?x=1')).http, 400)
})

t.test('only so many tails are open at once, and closing one makes room; closing the gateway ends them', async (t) => {
  const scene = await operatorScene(t, {})
  await portOf(scene.app)
  const tails = await Promise.all(Array.from({ length: 20 }, () => open(scene)))
  t.match(await scene.call('GET', 'tail'), { http: 503, code: 'too-many-tails' })
  tails[0]?.close()
  const another = (await until(() => open(scene).catch(() => undefined))) as Tail
  const ended = closed(another)
  await scene.app.close()
  await ended
})

t.test('a reader that does not keep up is cut, and the gateway keeps little for it', async (t) => {
  const scene = await operatorScene(t, {})
  const tail = await open(scene)
  tail.response.pause()
  const before = process.memoryUsage().rss
  const cut = closed(tail)
  for (let n = 0; n < 40; n += 1) await scene.publish([`e${n}`], () => ({ text: 'x'.repeat(500_000) }))
  tail.response.resume()
  await cut
  t.ok(tail.text().length < 40 * 500_000)
  t.ok(process.memoryUsage().rss - before < 200_000_000)
})
