/**
 * A request id on every answer: the client's own when it is safe to echo, else one made here.
 */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import fp from 'fastify-plugin'

const safe = /^[A-Za-z0-9._:=+/-]{1,128}$/

// The random part tells processes and restarts apart, the counter requests.
const processId = randomBytes(6).toString('base64url')
let requests = 0

export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && safe.test(given) ? given : newRequestId()
}

export function newRequestId(): string {
  requests += 1
  return `${processId}-${requests.toString(36)}`
}

/** What every answer carries, on whatever path it leaves. */
export function standardHeaders(requestId: string): Record<string, string> {
  return { 'x-request-id': requestId, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }
}

export const requestId = fp(
  async (app) => {
    app.addHook('onRequest', (request, reply, done) => {
      reply.headers(standardHeaders(request.id))
      done()
    })
  },
  { name: 'request-id', fastify: '5.x' }
)
