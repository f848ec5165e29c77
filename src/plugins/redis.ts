import { readFile } from 'node:fs/promises'
import fp from 'fastify-plugin'
import { type Connections, createConnections } from '../streams/connections.ts'

declare module 'fastify' {
  interface FastifyInstance {
    redis: Connections
  }
}

export interface RedisOptions {
  url: string
  caFile?: string
  /** Connect to nothing; every command fails. */
  offline: boolean
}

/** The connections to Redis. The gateway starts without Redis too: it answers 503 until it is there. */
export const redis = fp<RedisOptions>(
  async (app, { url, caFile, offline }) => {
    const ca = caFile === undefined ? undefined : await readFile(caFile, 'utf8')
    const connections = createConnections({ url, ca }, app.log)
    app.decorate('redis', connections)
    app.addHook('onReady', async () => {
      if (!offline) await connections.connect().catch(() => app.log.warn('Redis cannot be reached yet'))
    })
    app.addHook('onClose', () => connections.close())
  },
  { name: 'redis', fastify: '5.x' }
)

/** True if every connection is up, else a promise of the moment when each has been. */
export function whenConnected({ append, consume, admin, handlers }: Connections): true | Promise<void> {
  const waiting = [append, consume, admin, handlers].filter(({ status }) => status !== 'ready')
  if (waiting.length === 0) return true
  return Promise.all(waiting.map((connection) => new Promise((resolve) => connection.once('ready', resolve)))).then(
    () => undefined
  )
}
