import type { Tracer } from '@opentelemetry/api'
import fp from 'fastify-plugin'
import type { Keys } from '../streams/keys.ts'
import { createStreams, type Streams } from '../streams/streams.ts'
import type { Topology } from '../topology.ts'
import type { DurabilityLevel } from '../topology-options.ts'
import { tracedPublish } from '../traces/sent-spans.ts'

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
  /** Undefined: nothing is traced. */
  tracer?: Tracer
  offline: boolean
}

/** The streams of the topology. They end after the last request and before the connections. */
export const streams = fp<StreamsPluginOptions>(
  async (app, { tracer, offline, ...options }) => {
    const streams = createStreams({ ...options, connections: app.redis, log: app.log })
    const publish = tracer === undefined ? streams.publish : tracedPublish(tracer, streams.publish)
    app.decorate('streams', { ...streams, publish })

    app.addHook('onReady', async () => {
      if (!offline) await streams.start()
    })
    app.addHook('onClose', () => streams.stop())
  },
  { name: 'streams', dependencies: ['redis'], fastify: '5.x' }
)
