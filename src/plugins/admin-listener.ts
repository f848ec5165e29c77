/**
 * A listener of its own for operators: with ADMIN_PORT the admin routes and metrics are served there and nowhere else,
 * so that the public port shows nothing of them. The probes, the API description and the problem codes are on both.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fp from 'fastify-plugin'
import { ProblemError } from '../errors.ts'
import { answerClientError } from './problems.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Begins to listen for operators, if they have a port of their own; its URL. Rejects when the port is taken. */
    listenForOperators: () => Promise<string | undefined>
  }
}

export interface AdminListenerOptions {
  host: string
  /** Undefined: one listener serves everything. */
  port?: number
  requestTimeoutMs: number
}

const operatorsOnly = /^\/(admin|metrics|docs)(\/|$)/
const everywhere = /^\/(livez|readyz|openapi\.json|problems)$/

export const adminListener = fp<AdminListenerOptions>(
  async (app, { host, port, requestTimeoutMs }) => {
    if (port === undefined) {
      app.decorate('listenForOperators', async () => undefined)
      return
    }
    const timeouts = { requestTimeout: requestTimeoutMs, headersTimeout: Math.min(15_000, requestTimeoutMs) }
    const server = createServer(timeouts, (request, response) => app.routing(request, response))
    server.on('clientError', answerClientError)
    app.drain.add(server)

    app.addHook('onRequest', async (request) => {
      // The route that was matched: a path may spell it in other ways.
      const path = request.routeOptions.url ?? (request.url.split('?', 1)[0] as string)
      const { server: from } = request.raw.socket as { server?: unknown }
      if (everywhere.test(path) || operatorsOnly.test(path) === (from === server)) return
      throw new ProblemError('route-not-found')
    })
    app.decorate('listenForOperators', async () => {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ host, port }, resolve)
      })
      const { address, family, port: taken } = server.address() as AddressInfo
      return `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`
    })
    let closed: Promise<unknown> = Promise.resolve()
    app.addHook('preClose', async () => {
      if (!server.listening) return
      closed = new Promise((resolve) => server.close(resolve))
    })
    app.addHook('onClose', () => closed.then(() => undefined))
  },
  { name: 'admin-listener', dependencies: ['drain'], fastify: '5.x' }
)
