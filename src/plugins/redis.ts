import { readFile } from 'node:fs/promises'
import fp from 'fastify-plugin'
import { StartupError } from '../startup-error.ts'
import { type Connections, createConnections, type HandlerRedis } from '../streams/connections.ts'

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
    const ca = caFile === undefined ? undefined : await authorityFrom(caFile)
    const connections = createConnections({ url, ca }, app.log)
    app.decorate('redis', connections)
    app.addHook('onReady', async () => {
      // What is not up yet has said so in the log, and goes on trying.
      if (!offline) await connections.connect().catch(() => undefined)
    })
    app.addHook('onClose', () => connections.close())
  },
  { name: 'redis', fastify: '5.x' }
)

/** True if the connection is up, else a promise of the moment when it first is. */
export function whenReady(connection: HandlerRedis): true | Promise<void> {
  if (connection.status === 'ready') return true
  return new Promise((resolve) => connection.once('ready', () => resolve()))
}

async function authorityFrom(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (err) {
    throw new StartupError(`REDIS_TLS_CA_FILE cannot be read: ${(err as Error).message}`)
  }
}
