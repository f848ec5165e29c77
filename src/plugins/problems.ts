/**
 * Every failure leaves as application/problem+json: what routes throw, what Fastify refuses, paths and methods nobody
 * serves, and HTTP that cannot be parsed at all.
 */
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { type ProblemCode, ProblemError } from '../errors.ts'
import { type ProblemAnswer, problemFromClientError, problemFromError } from '../problem.ts'
import { newRequestId, standardHeaders } from './request-id.ts'
import { mayTakeItsTime } from './slow-requests.ts'

export const problemAnswers = fp(
  async (app) => {
    const paths = new Map<string, { pattern: RegExp; methods: Set<string> }>()
    app.addHook('onRoute', ({ url, method }) => {
      const path = paths.get(url) ?? { pattern: patternFromRoute(url), methods: new Set() }
      for (const name of [method].flat()) path.methods.add(name)
      paths.set(url, path)
    })
    app.setErrorHandler((error, request, reply) => answerProblem(error, request, reply))
    app.setNotFoundHandler((request) => {
      const path = request.url.split('?', 1)[0] as string
      const allow = new Set<string>()
      for (const { pattern, methods } of paths.values())
        if (pattern.test(path)) for (const method of methods) allow.add(method)
      if (allow.size === 0) throw new ProblemError('route-not-found')
      const allowed = Array.from(allow).sort().join(', ')
      throw new ProblemError('method-not-allowed', {
        detail: `This path takes ${allowed}.`,
        headers: { allow: allowed }
      })
    })
  },
  { name: 'problems', dependencies: ['request-log', 'request-tally'], fastify: '5.x' }
)

/** Logs a failure once and answers it. */
export function answerProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, headers, body } = problemFromError(error, request.id)
  request.server.requestTally.refused(request.routeOptions.url, body.code as ProblemCode)
  request.server.logFailure(request, { status, code: body.code, error })
  return reply.code(status).headers(headers).send(JSON.stringify(body))
}

/** Fastify's `frameworkErrors`: a request that never reached a route, so no hook has run for it. */
export function answerFrameworkError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  answerProblem(error, request, reply.headers(standardHeaders(request.id)))
}

/** Fastify's `clientErrorHandler`: bytes that are not HTTP, or that came too slowly. There is no request to answer. */
export function answerClientError(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && mayTakeItsTime(socket)) return
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const requestId = newRequestId()
  socket.end(rawAnswer(problemFromClientError(error.code, requestId), requestId))
}

function rawAnswer({ status, headers, body }: ProblemAnswer, requestId: string): string {
  const payload = JSON.stringify(body)
  const lines = Object.entries({
    ...standardHeaders(requestId),
    ...headers,
    'content-length': String(Buffer.byteLength(payload)),
    date: new Date().toUTCString(),
    connection: 'close'
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${body.title}\r\n${lines.join('')}\r\n${payload}`
}

function patternFromRoute(url: string): RegExp {
  const parts = url
    .split('/')
    .map((part) => (part.startsWith(':') ? '[^/]+' : part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')))
  return new RegExp(`^${parts.join('/')}$`)
}
