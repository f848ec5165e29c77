/**
 * One process to be measured, told by its parent which and asked by it how it does. `gateway`: the whole application with
 * the shop's topology and no consumers; `bare`: a Fastify route that parses the same JSON and answers; `echo`: the whole
 * application with a handler that notes how long events took to reach it.
 */
import Fastify, { type FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'
import shop from '../src/shop/topology.ts'
import { defineTopology } from '../src/topology.ts'
import { machineMs } from './trial.ts'

/** Milliseconds from when the client sent an event until its handler started. */
let delays: number[] = []

const echo = defineTopology({
  streams: {
    'bench:event:sent': {
      events: { 'bench.event.sent': Type.Object({ sentAt: Type.Number() }) },
      groups: {
        echo: {
          concurrency: 64,
          handler: async (event) => {
            delays.push(machineMs() - (event.data as { sentAt: number }).sentAt)
          }
        }
      }
    }
  }
})

function bareRoute(): FastifyInstance {
  const app = Fastify({ logger: false })
  app.post('/events', async (request, reply) => {
    reply.code(202)
    return { id: (request.body as { id: string }).id, stored: true }
  })
  return app
}

const kind = process.argv[2]
const app =
  kind === 'bare' ? bareRoute() : buildApp(loadConfig(process.env), { topology: kind === 'echo' ? echo : shop })
await app.listen({ host: '127.0.0.1', port: 0 })
process.on('message', () => {
  process.send?.({ cpu: process.cpuUsage(), delays })
  delays = []
})
process.on('disconnect', () => process.exit(0))
const address = app.server.address()
process.send?.({ port: typeof address === 'object' ? address?.port : undefined })
