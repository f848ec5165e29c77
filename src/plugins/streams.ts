import fp from 'fastify-plugin'
import { StartupError } from '../startup-error.ts'
import type { Keys } from '../streams/keys.ts'
import { createStreams, type Streams } from '../streams/streams.ts'
import type { DurabilityLevel, Topology } from '../topology.ts'
import { whenConnected } from './redis.ts'

declare module 'fastify' {
  interface FastifyInstance {
    streams: Streams
  }
}

export interface StreamsPluginOptions {
  durability: DurabilityLevel | 'auto'
  topology: Topology
  keys: Keys
  queueLimit: number
  commandTimeoutMs: number
  offline: boolean
}

/** The streams of the topology. They end after the last request and before the connections. */
export const streams = fp<StreamsPluginOptions>(
  async (app, { offline, ...options }) => {
    const streams = createStreams({ ...options, connections: app.redis, log: app.log })
    app.decorate('streams', streams)

    let closing = false
    const start = async () => {
      if (closing) return
      try {
        await streams.start()
      } catch (err) {
        if (err instanceof StartupError) throw err
        app.log.warn({ err }, 'The streams could not be set up; trying again when Redis is back')
        app.redis.append.once('ready', later)
      }
    }
    // Once requests are served, a store that is not durable enough refuses them; it does not end the process.
    const later = () => {
      start().catch((err: Error) => app.log.error(err.message))
    }
    app.addHook('onReady', async () => {
      if (offline) return
      const connected = whenConnected(app.redis)
      if (connected === true) await start()
      else void connected.then(later)
    })
    app.addHook('onClose', async () => {
      closing = true
      await streams.stop()
    })
  },
  { name: 'streams', dependencies: ['redis'], fastify: '5.x' }
)
