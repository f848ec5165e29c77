import type { Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    drain: Drain
  }
}

export interface Drain {
  /** True from `begin`, or from the beginning of `close`, on. */
  readonly begun: boolean
  /**
   * The process is to end: from now on every answer closes its connection and /readyz says 503, while requests are still
   * taken. Resolves when those who route requests had their time to notice; then `close` may follow. Idempotent.
   */
  begin: () => Promise<void>
  /** Drains the connections of one more server too. */
  add: (server: Server) => void
}

export interface DrainOptions {
  /** How long requests are taken after `begin`. */
  delayMs: number
  /** How long open requests may take once the application closes; then their connections are cut. */
  graceMs: number
}

/**
 * Closing waits for open requests. Fastify closes the idle connections at that moment and tells later requests to
 * close theirs; a connection whose request was open then would be kept for the whole keep-alive time, so that is cut.
 */
export const drain = fp<DrainOptions>(
  async (app, { delayMs, graceMs }) => {
    const servers = [app.server]
    let begun = false
    let delayed: Promise<void> | undefined
    let cut: NodeJS.Timeout | undefined

    const refuseToStay = () => {
      if (begun) return
      begun = true
      for (const server of servers)
        server.prependListener('request', (_request, response) => void response.setHeader('connection', 'close'))
    }
    app.decorate('drain', {
      get begun() {
        return begun
      },
      begin() {
        refuseToStay()
        delayed ??= sleep(delayMs)
        return delayed
      },
      add: (server) => void servers.push(server)
    })
    app.addHook('preClose', async () => {
      refuseToStay()
      for (const server of servers) {
        server.keepAliveTimeout = 1
        server.keepAliveTimeoutBuffer = 0
      }
      cut = setTimeout(() => {
        for (const server of servers) server.closeAllConnections()
      }, graceMs)
    })
    app.addHook('onClose', async () => clearTimeout(cut))
  },
  { name: 'drain', fastify: '5.x' }
)
