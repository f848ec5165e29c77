import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Liveness, Readiness } from '../schemas/health.ts'
import type { Source } from '../src/sources.ts'

/** /livez and /readyz, for whoever restarts this process and whoever routes to it. */
export const health: FastifyPluginAsyncTypebox<{ sources: ReadonlyMap<string, Source> }> = async (app, { sources }) => {
  const { streams } = app
  const unconfigured = Array.from(sources.values())
    .filter(({ receive }) => receive === undefined)
    .map(({ definition }) => [`source:${definition.name}`, 'not-configured'] as const)
  let started = false
  app.addHook('onReady', async () => {
    started = true
  })

  app.get(
    '/livez',
    {
      config: { public: true },
      schema: {
        tags: ['health'],
        operationId: 'getLiveness',
        summary: 'Does the process run?',
        security: [],
        response: { 200: Type.Unsafe<Liveness>(Type.Ref('Liveness')) }
      }
    },
    () => ({ status: 'ok' as const })
  )

  app.get(
    '/readyz',
    {
      config: { public: true },
      schema: {
        tags: ['health'],
        operationId: 'getReadiness',
        summary: 'Should requests be sent here?',
        description:
          '503 only while starting or draining. Without Redis it is 200 and `degraded`, so that clients get our 503 with its Retry-After.',
        security: [],
        response: {
          200: Type.Unsafe<Readiness>(Type.Ref('Readiness')),
          503: Type.Unsafe<Readiness>(Type.Ref('Readiness'))
        }
      }
    },
    async (_request, reply) => {
      const { redis, down, queuedEvents, queueLimit } = streams.health()
      const queue = queuedEvents < queueLimit ? 'ok' : 'full'
      const streamsDown = down.map((name) => [`stream:${name}`, 'down'] as const)
      const parts = { redis, queue, ...Object.fromEntries([...streamsDown, ...unconfigured]) }
      if (app.drain.begun) return reply.code(503).send({ status: 'draining', parts })
      if (!started) return reply.code(503).send({ status: 'starting', parts })
      const isWhole = Object.values(parts).every((state) => state === 'ok')
      return { status: isWhole ? ('ok' as const) : ('degraded' as const), parts }
    }
  )
}
