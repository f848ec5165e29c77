/**
 * A SERVER span for each request but probes. Where the operator's HTTP instrumentation has made one already, that one is
 * kept and nothing is added. Handlers run inside it: reading a body loses the active context, so it is set again.
 */
import {
  type Attributes,
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  type Tracer,
  trace
} from '@opentelemetry/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { flushTraces, markFailed } from '../traces/tracer.ts'
import { isProbe } from './overload.ts'

export const requestSpans = fp<{ tracer: Tracer }>(
  async (app, { tracer }) => {
    const contexts = new WeakMap<FastifyRequest, Context>()
    app.addHook('onRequest', (request, reply, done) => {
      if (isProbe(request)) return done()
      const active = context.active()
      const inside = trace.getSpan(active) === undefined ? startSpan(tracer, request, reply) : active
      request.traceId = trace.getSpan(inside)?.spanContext().traceId
      contexts.set(request, inside)
      done()
    })
    app.addHook('preHandler', (request, _reply, done) => {
      const inside = contexts.get(request)
      if (inside === undefined) return done()
      context.with(inside, done)
    })
    // Registered before whatever else makes spans, so it closes after all of that.
    app.addHook('onClose', flushTraces)
  },
  { name: 'request-spans', dependencies: ['request-log'], fastify: '5.x' }
)

/** Ends it when the connection is done with the answer, or is gone. */
function startSpan(tracer: Tracer, request: FastifyRequest, reply: FastifyReply): Context {
  const { method, routeOptions } = request
  const parent = propagation.extract(ROOT_CONTEXT, request.headers)
  const name = routeOptions.url === undefined ? method : `${method} ${routeOptions.url}`
  const span = tracer.startSpan(name, { kind: SpanKind.SERVER, attributes: attributesOf(request) }, parent)
  reply.raw.once('close', () => endSpan(span, request, reply))
  return trace.setSpan(parent, span)
}

function attributesOf(request: FastifyRequest): Attributes {
  const { method, protocol, ip, routeOptions } = request
  const attributes: Attributes = { 'http.request.method': method, 'url.scheme': protocol, 'client.address': ip }
  // A path that nothing serves may be anything, and a query may hold a webhook's secret.
  if (routeOptions.url === undefined) return attributes
  return { ...attributes, 'http.route': routeOptions.url, 'url.path': request.url.split('?', 1)[0] }
}

function endSpan(span: Span, { problem }: FastifyRequest, { raw }: FastifyReply): void {
  if (raw.headersSent) span.setAttribute('http.response.status_code', raw.statusCode)
  if (problem !== undefined) span.setAttribute('headgate.problem', problem)
  if (!raw.writableFinished) markFailed(span, 'connection-closed')
  else if (raw.statusCode >= 500) markFailed(span, problem ?? String(raw.statusCode))
  span.end()
}
