import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor
} from '@opentelemetry/sdk-trace-node'
import t from 'tap'
import { Type } from 'typebox'
import { forward, unavailable } from '../src/index.ts'
import { eventFromFields } from '../src/streams/entry.ts'
import { defineTopology } from '../src/topology.ts'
import type { Handler } from '../src/topology-options.ts'
import { openTracer } from '../src/traces/tracer.ts'
import { as, testApp } from './fixtures/app.ts'
import { portOf, post as postTo } from './fixtures/http.ts'
import { until } from './fixtures/until.ts'

const payload = 'payload-marker-7f3a'
const traceId = '0af7651916cd43dd8448eb211c80319c'
const traceparent = `00-${traceId}-b7ad6b7169203331-01`
const secret = 'token-marker-51c2'

const received: IncomingHttpHeaders[] = []
const endpoint = createServer((request, response) => {
  received.push(request.headers)
  request.resume().on('end', () => response.writeHead(request.url === '/busy' ? 503 : 204).end())
})
await new Promise<void>((resolve) => endpoint.listen(0, '127.0.0.1', resolve))
t.teardown(() => endpoint.close())
const endpointUrl = `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}`

let waited = 0

/** Does what the order says. */
const processOrder: Handler = async (event, { publish, attempt, signal }) => {
  const { task } = event.data as { task: string }
  if (task === 'publish') {
    trace.getTracer('own').startActiveSpan('own work', (span) => span.end())
    await publish({ type: 'orders.order.fulfilled', data: { text: payload } })
  }
  if (task === 'hang') await new Promise((resolve) => signal.addEventListener('abort', resolve))
  if (task === 'fail' && attempt === 1) throw new RangeError(`cannot work with ${payload}`)
  if (task === 'wait' && waited++ === 0) throw unavailable(payload, { retryAfterMs: 1 })
}

const backoff = { minMs: 1, maxMs: 1 }
const topology = defineTopology({
  streams: {
    'orders:order:created': {
      events: { 'orders.order.created': Type.Object({ task: Type.String() }, { additionalProperties: true }) },
      groups: { processors: { handler: processOrder, backoff, handlerTimeoutMs: 300, maxAttempts: 2 } }
    },
    'orders:order:fulfilled': {
      events: { 'orders.order.fulfilled': Type.Unknown() },
      groups: { partner: { handler: forward({ url: `${endpointUrl}/hook?key=${secret}`, secret: btoa(secret) }) } }
    },
    'carts:cart:events': {
      events: { 'carts.item.added': Type.Unknown() },
      partitions: 4,
      groups: { projectors: { ordered: true, handler: async () => undefined } }
    },
    'users:user:events': { events: { 'users.user.renamed': Type.Unknown() } }
  },
  sources: { token: { preset: 'token' } }
})

const order = (id: string, task: string, more = {}) => ({
  id,
  source: '/test',
  type: 'orders.order.created',
  data: { task, text: payload },
  ...more
})

const exporter = new InMemorySpanExporter()
/** Every span there was, for the last test. */
const all: ReadableSpan[] = []

async function gateway(t: Parameters<typeof testApp>[0]) {
  const scene = await testApp(t, { topology, COMMAND_TIMEOUT_MS: 500, ...{ WEBHOOK_SECRET_TOKEN: secret } })
  const port = await portOf(scene.app)
  exporter.reset()
  const spans = () => exporter.getFinishedSpans()
  return {
    ...scene,
    spans,
    post: (body: object, headers = {}) => postTo(port, JSON.stringify(body), headers),
    postTo: (body: string, headers: Record<string, string>) => postTo(port, body, headers),
    /** Those of one name, once there are so many. */
    async named(name: string, count = 1) {
      const found = () => spans().filter((span) => span.name === name)
      await until(() => found().length >= count, { what: `${count} spans ${name}` })
      return found()
    },
    async stored(stream: string) {
      const rows = await scene.redis.xrange(`${scene.prefix}${stream}`, '-', '+')
      return rows.map(([entryId, fields]) => ({ entryId, ...eventFromFields(fields) }))
    }
  }
}

const contextOf = (span: ReadableSpan | undefined) => {
  const { traceId, spanId, traceFlags } = span?.spanContext() ?? { traceId: '', spanId: '', traceFlags: 0 }
  return `00-${traceId}-${spanId}-0${traceFlags}`
}
const linked = (span: ReadableSpan | undefined) =>
  (span?.links ?? []).map(({ context }) => `00-${context.traceId}-${context.spanId}-0${context.traceFlags}`)
const isChildOf = (span: ReadableSpan | undefined, parent: ReadableSpan | undefined) =>
  span?.parentSpanContext?.spanId === parent?.spanContext().spanId

t.test('without an SDK nothing is traced, and an event is given the trace of its request', async (t) => {
  t.equal(openTracer(), undefined)
  const g = await gateway(t)
  t.equal((await g.post(order('o', 'nothing'), { traceparent })).status, 202)
  t.match(await g.stored('orders:order:created'), [{ extensions: { traceparent } }])
})

t.test('with an SDK', async (t) => {
  let flushes = 0
  const counting = {
    onStart() {},
    onEnd() {},
    async forceFlush() {
      flushes += 1
    },
    async shutdown() {}
  }
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter), counting] })
  provider.register()
  t.teardown(() => provider.shutdown())
  const g = await gateway(t)
  t.afterEach(() => {
    all.push(...g.spans())
    exporter.reset()
  })

  await t.test(
    'a request, its event, the handler, what that publishes and what is forwarded are one trace',
    async (t) => {
      await g.post(order('o1', 'publish'), { traceparent, tracestate: 'vendor=1' })
      await g.named('process orders:order:fulfilled')
      const one = (name: string) => g.spans().filter((span) => span.name === name)[0]
      const [request, sent, handled] = [
        'POST /events',
        'send orders:order:created',
        'process orders:order:created'
      ].map(one)
      const [published, forwarding, posted] = [
        'send orders:order:fulfilled',
        'process orders:order:fulfilled',
        'POST'
      ].map(one)
      const [event] = await g.stored('orders:order:created')
      const [followUp] = await g.stored('orders:order:fulfilled')

      t.same(new Set(g.spans().map((span) => span.spanContext().traceId)), new Set([traceId]))
      t.equal(request?.parentSpanContext?.spanId, 'b7ad6b7169203331')
      t.ok(isChildOf(sent, request) && isChildOf(handled, sent), 'request -> send -> process')
      t.ok(isChildOf(one('own work'), handled), 'what the handler does nests')
      t.ok(isChildOf(published, handled) && isChildOf(forwarding, published) && isChildOf(posted, forwarding))
      t.same(event?.extensions, { traceparent: contextOf(sent), tracestate: 'vendor=1' })
      t.same(followUp?.extensions, { traceparent: contextOf(published), tracestate: 'vendor=1' })
      t.same(linked(handled), [contextOf(sent)])
      t.same(linked(forwarding), [contextOf(published)])
      t.match(received.at(-1), { traceparent: contextOf(posted), tracestate: 'vendor=1' })
      const kinds = [request, sent, handled, published, forwarding, posted].map((span) => span?.kind)
      const { SERVER, PRODUCER, CONSUMER, CLIENT } = SpanKind
      t.same(kinds, [SERVER, PRODUCER, CONSUMER, PRODUCER, CONSUMER, CLIENT])

      const about = { 'cloudevents.event_id': 'o1', 'cloudevents.event_source': '/test' }
      const destination = { 'messaging.system': 'redis', 'messaging.destination.name': 'orders:order:created' }
      t.match(request?.attributes, { 'http.route': '/events', 'url.path': '/events', 'http.response.status_code': 202 })
      t.same(sent?.attributes, {
        ...destination,
        ...about,
        'messaging.operation.name': 'send',
        'messaging.operation.type': 'send',
        'cloudevents.event_type': 'orders.order.created',
        'messaging.message.id': event?.entryId
      })
      t.same(handled?.attributes, {
        ...destination,
        ...about,
        'messaging.operation.name': 'process',
        'messaging.operation.type': 'process',
        'messaging.consumer.group.name': 'processors',
        'messaging.message.id': event?.entryId,
        'cloudevents.event_type': 'orders.order.created',
        'headgate.attempt': 1
      })
      t.match(posted?.attributes, { 'url.full': `${endpointUrl}/hook`, 'http.response.status_code': 204 })
      t.ok(g.spans().every(({ status }) => status.code === SpanStatusCode.UNSET))
    }
  )

  await t.test('an event keeps the trace it brought, and its sending and handling are linked to that', async (t) => {
    const own = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    await g.post([order('k1', 'nothing', { traceparent: own, tracestate: 'a=b' }), order('k2', 'nothing')], {
      traceparent
    })
    const handled = await g.named('process orders:order:created', 2)
    const [sent, ...others] = await g.named('send orders:order:created')
    t.equal(others.length, 0)
    t.same(linked(sent), [own])
    const kept = (await g.stored('orders:order:created')).slice(-2)
    t.match(kept, [
      { extensions: { traceparent: own, tracestate: 'a=b' } },
      { extensions: { traceparent: contextOf(sent) } }
    ])
    t.same(handled.flatMap(linked).toSorted(), [own, contextOf(sent)].toSorted())
    t.same(new Set(handled.map((span) => span.spanContext().traceId)), new Set([traceId, own.slice(3, 35)]))
  })

  await t.test('a failing handler marks its span by the name of the error, once for each try', async (t) => {
    await g.post([order('f1', 'fail'), order('f2', 'wait')])
    const spans = await g.named('process orders:order:created', 4)
    const seen = spans.map(({ attributes, status }) => [
      attributes['cloudevents.event_id'],
      attributes['headgate.attempt'],
      attributes['error.type'],
      status.code
    ])
    t.same(
      seen.toSorted(),
      [
        ['f1', 1, 'RangeError', SpanStatusCode.ERROR],
        ['f1', 2, undefined, SpanStatusCode.UNSET],
        ['f2', 1, 'Unavailability', SpanStatusCode.ERROR],
        ['f2', 1, undefined, SpanStatusCode.UNSET]
      ].toSorted()
    )
  })

  await t.test('a handler that takes too long has a span that ends then', async (t) => {
    await g.post(order('h1', 'hang'))
    const [span] = await g.named('process orders:order:created')
    t.match(span, { attributes: { 'error.type': 'HandlerTimeout' }, status: { code: SpanStatusCode.ERROR } })
  })

  await t.test('however many events a request brings, each of its streams has one span', async (t) => {
    const users = Array.from({ length: 300 }, (_, n) => ({ id: `u${n}`, type: 'users.user.renamed', data: payload }))
    const carts = Array.from({ length: 20 }, (_, n) => ({
      type: 'carts.item.added',
      subject: `cart-${n}`,
      data: payload
    }))
    t.equal((await g.post([...users, ...carts])).body.accepted, 320)
    await g.named('process carts:cart:events', 20)
    const sent = g.spans().filter(({ name }) => name.startsWith('send '))
    const counts = sent.map(({ name, attributes }) => [name, attributes['messaging.batch.message_count']])
    t.same(counts.toSorted(), [
      ['send carts:cart:events', 20],
      ['send users:user:events', 300]
    ])
    t.equal((await g.post(users)).body.duplicates, 300)
    const again = await g.named('send users:user:events', 2)
    t.match(again.at(-1)?.attributes, { 'headgate.duplicates': 300 })
    const lines = users.map((event) => JSON.stringify({ ...event, id: `n-${event.id}` })).join('\n')
    t.equal((await g.postTo(lines, { 'content-type': 'application/x-ndjson', traceparent })).body.accepted, 300)
    const [, , fromLines] = await g.named('send users:user:events', 3)
    t.equal(fromLines?.spanContext().traceId, traceId, 'lines that are read from a stream belong to their request too')
  })

  await t.test('the partition of an event is named where it is sent and where it is handled', async (t) => {
    await g.post({ type: 'carts.item.added', subject: 'cart-1', data: payload })
    const [handled] = await g.named('process carts:cart:events')
    const [sent] = await g.named('send carts:cart:events')
    const partition = sent?.attributes['messaging.destination.partition.id']
    t.match(partition, /^[0-3]$/)
    t.match(handled?.attributes, { 'messaging.destination.partition.id': partition })
    t.equal(handled?.attributes['messaging.message.id'], sent?.attributes['messaging.message.id'])
  })

  await t.test('a webhook delivery has a span without its query, and its event is stored with it', async (t) => {
    const answer = await g.postTo(`{"text":"${payload}"}`, { path: `/webhooks/token?token=${secret}` })
    t.equal(answer.status, 200)
    const [request] = await g.named('POST /webhooks/token')
    const [sent] = await g.named('send webhooks:token:event')
    t.ok(isChildOf(sent, request))
    t.match(await g.stored('webhooks:token:event'), [{ extensions: { traceparent: contextOf(sent) } }])
  })

  await t.test('a span that the operator’s HTTP instrumentation has made is the only one of its request', async (t) => {
    const span = trace.getTracer('http').startSpan('theirs', { kind: SpanKind.SERVER })
    const request = {
      method: 'POST',
      url: '/events',
      headers: as('publisher'),
      payload: order('i1', 'nothing')
    } as const
    // What inject returns sends nothing before it is awaited.
    const inside = async () => (await g.app.inject(request)).statusCode
    t.equal(await context.with(trace.setSpan(context.active(), span), inside), 202)
    const [sent] = await g.named('send orders:order:created')
    t.ok(isChildOf(sent, span as unknown as ReadableSpan))
    t.same(
      g.spans().filter(({ kind }) => kind === SpanKind.SERVER),
      []
    )
    span.end()
  })

  await t.test('probes make no spans, and refusals name their problem', async (t) => {
    const answers = [await g.app.inject('/livez'), await g.app.inject('/readyz'), await g.app.inject(`/${secret}/x`)]
    t.same(
      answers.map(({ statusCode }) => statusCode),
      [200, 200, 404]
    )
    await g.postTo('{}', { authorization: `Bearer ${secret}` })
    const [nowhere] = await g.named('GET')
    const [refused] = await g.named('POST /events')
    t.match(nowhere?.attributes, { 'headgate.problem': 'route-not-found', 'http.response.status_code': 404 })
    t.match(refused?.attributes, { 'headgate.problem': 'unauthenticated', 'http.response.status_code': 401 })
    t.equal(refused?.status.code, SpanStatusCode.UNSET, 'the client’s fault is none of ours')
    t.equal(g.spans().length, 2)
  })

  await t.test('while the store is away, sending and request have failed', async (t) => {
    await g.server.stop()
    t.equal((await g.post(order('s1', 'nothing'))).status, 503)
    const [sent] = await g.named('send orders:order:created')
    const [request] = await g.named('POST /events')
    const failed = { attributes: { 'error.type': 'store-down' }, status: { code: SpanStatusCode.ERROR } }
    t.match(sent, failed)
    t.match(request, failed)
    await g.server.start()
  })

  await t.test('when the gateway closes, what the SDK holds is exported', async (t) => {
    t.equal(flushes, 0)
    await g.app.close()
    t.equal(flushes, 1)
  })

  await t.test('no span holds data of an event, a secret or the message of an error', async (t) => {
    t.ok(all.length > 50, `${all.length} spans`)
    const text = JSON.stringify(
      all.map(({ name, attributes, status, events }) => ({ name, attributes, status, events }))
    )
    for (const hidden of [payload, secret]) t.notOk(text.includes(hidden), hidden)
  })
})
