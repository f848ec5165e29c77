/**
 * One process to be measured: `gateway` (the whole application over a Redis of its own) or `bare` (a Fastify route that
 * parses the same JSON and answers). Tells its parent its port, and its CPU time whenever it is asked.
 */
import Fastify, { type FastifyInstance } from 'fastify'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'
import shop from '../src/shop/topology.ts'

function bareRoute(): FastifyInstance {
  const app = Fastify({ logger: false })
  app.post('/events', async (request, reply) => {
    reply.code(202)
    return { id: (request.body as { id: string }).id, stored: true }
  })
  return app
}

const app = process.argv[2] === 'bare' ? bareRoute() : buildApp(loadConfig(process.env), { topology: shop })
await app.listen({ host: '127.0.0.1', port: 0 })
process.on('message', () => process.send?.({ cpu: process.cpuUsage(), rss: process.memoryUsage.rss() }))
process.on('disconnect', () => process.exit(0))
const address = app.server.address()
process.send?.({ port: typeof address === 'object' ? address?.port : undefined })
