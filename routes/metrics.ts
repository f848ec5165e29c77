import type { FastifyPluginAsync } from 'fastify'

/** GET /metrics: what Prometheus collects. */
export const metrics: FastifyPluginAsync = async (app) => {
  const { metrics } = app

  app.get('/metrics', { config: { scope: 'observe' }, schema: { hide: true } }, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text())
  )
}
