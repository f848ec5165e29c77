/**
 * One line per request that failed, or per request. It names the route as it was registered, never the path or the query
 * as they came, and holds no header and nothing of a body.
 *
 * `failures`: floods are summed up (refusal-log.ts), or saying no would take longer than saying yes.
 * `all`: every request has its line, refused or answered, except probes.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ProblemError } from '../errors.ts'
import { isProbe } from './overload.ts'
import { createRefusalLog, levelOf } from './refusal-log.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Monotonic milliseconds; 0 for a request that never reached a route. */
    receivedAt: number
    /** The code it was refused with. */
    problem?: string
    /** Of the span it is handled in. */
    traceId?: string
  }
  interface FastifyInstance {
    /** Logs a request that is answered with a problem now. */
    logFailure: (request: FastifyRequest, failure: Failure) => void
  }
}

export interface Failure {
  status: number
  code: string
  error: unknown
}

export const requestLog = fp<{ requests: 'failures' | 'all' }>(
  async (app, { requests }) => {
    const { log } = app
    const refusals = createRefusalLog(log)
    app.decorateRequest('receivedAt', 0)
    app.decorateRequest('problem', undefined)
    app.decorateRequest('traceId', undefined)
    app.addHook('onRequest', (request, reply, done) => {
      request.receivedAt = performance.now()
      if (requests === 'all' && !isProbe(request)) {
        reply.raw.once('close', () => {
          if (request.problem === undefined) log.info(answerOf(request, reply), 'request answered')
        })
      }
      done()
    })
    app.addHook('onClose', async () => refusals.end())
    app.decorate('logFailure', (request, { status, code, error }) => {
      request.problem = code
      const reason = error instanceof ProblemError ? error.details.reason : undefined
      const fields = { ...fieldsOf(request), status, code, reason }
      if (code === 'internal-error') log.error({ ...fields, err: error }, 'request failed')
      else if (requests === 'all') log[levelOf(status)](fields, 'request refused')
      else refusals.add(fields)
    })
  },
  { name: 'request-log', fastify: '5.x' }
)

/** The beginning of a path that nothing serves, where it is a plain word: anything longer may be a secret gone astray. */
const plainWord = /^\/[a-z.-]{0,30}(?=[/?]|$)/

function fieldsOf(request: FastifyRequest) {
  const { id, method, url, routeOptions, receivedAt, apiKey, ip, headers, traceId } = request
  const length = headers['content-length']
  return {
    requestId: id,
    traceId,
    method,
    route: routeOptions.url,
    path: routeOptions.url === undefined ? plainWord.exec(url)?.[0] : undefined,
    ms: receivedAt === 0 ? undefined : Math.round((performance.now() - receivedAt) * 10) / 10,
    key: apiKey?.name,
    client: ip,
    /** Of the body, as it was announced. */
    bytes: length === undefined ? undefined : Number(length)
  }
}

function answerOf(request: FastifyRequest, { raw }: FastifyReply) {
  const status = raw.headersSent ? raw.statusCode : undefined
  return { ...fieldsOf(request), status, aborted: raw.writableFinished ? undefined : true }
}
