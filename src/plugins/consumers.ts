import fp from 'fastify-plugin'
import { type Consumers, type ConsumersOptions, createConsumers } from '../consume/consumers.ts'
import { createFollowUps } from '../consume/follow-up.ts'
import type { Catalog } from '../ingest/catalog.ts'
import { whenReady } from './redis.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Absent where this process runs no handlers. */
    consumers?: Consumers
  }
}

export interface ConsumersPluginOptions extends Pick<ConsumersOptions, 'topology' | 'keys' | 'tracer'> {
  catalog: Catalog
  /** How long handlers may take to finish once the application closes. */
  graceMs: number
}

/** Runs the topology's handlers. They stop together with the HTTP server, and before the streams they publish to. */
export const consumers = fp<ConsumersPluginOptions>(
  async (app, { topology, keys, catalog, tracer, graceMs }) => {
    const { log, redis: connections } = app
    const publish = createFollowUps({ catalog, publish: app.streams.publish })
    const consumers = createConsumers({ topology, connections, keys, publish, tracer, log })
    app.decorate('consumers', consumers)
    let stopped: Promise<void> | undefined
    const stop = () => {
      stopped ??= consumers.stop(graceMs)
      return stopped
    }

    app.addHook('onReady', async () => {
      const connected = whenReady(connections.handlers)
      if (connected === true) return consumers.start()
      void connected
        .then(async () => {
          if (stopped === undefined) await consumers.start()
        })
        .catch((err: unknown) => log.error({ err }, 'The consumers could not be started'))
    })
    // Handlers finish while the last requests do; `onClose` waits for them.
    app.addHook('preClose', async () => {
      stop().catch((err: unknown) => log.error({ err }, 'The consumers could not be stopped in order'))
    })
    app.addHook('onClose', () => stop().catch(() => undefined))
  },
  { name: 'consumers', dependencies: ['streams'], fastify: '5.x' }
)
