import fp from 'fastify-plugin'
import type { Keys } from '../streams/keys.ts'
import { createOperations, type Operations } from '../streams/operations.ts'
import type { Topology } from '../topology.ts'

declare module 'fastify' {
  interface FastifyInstance {
    operations: Operations
  }
}

export interface OperationsOptions {
  topology: Topology
  keys: Keys
  offline: boolean
}

/** What operators do. Every process carries on the replays that any of them was asked for. */
export const operations = fp<OperationsOptions>(
  async (app, { topology, keys, offline }) => {
    const operations = createOperations({ topology, keys, connections: app.redis, log: app.log })
    app.decorate('operations', operations)
    app.addHook('onReady', async () => {
      if (!offline) operations.replayRunner.start()
    })
    app.addHook('onClose', () => operations.replayRunner.stop())
  },
  { name: 'operations', dependencies: ['redis'], fastify: '5.x' }
)
