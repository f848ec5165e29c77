import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Lag } from '../schemas/lag.ts'
import { problemResponses } from '../schemas/problem.ts'

/** GET /admin/lag: how far behind every group is. */
export const lag: FastifyPluginAsyncTypebox = async (app) => {
  const { streams } = app

  app.get(
    '/admin/lag',
    {
      config: { scope: 'observe' },
      schema: {
        tags: ['groups'],
        operationId: 'getLag',
        summary: 'How far behind every group is, and what it holds',
        response: {
          200: Type.Unsafe<Lag>(Type.Ref('Lag')),
          ...problemResponses(401, 403, 500, 503)
        }
      }
    },
    async () => ({ ...(await streams.lagOfAll()), checkedAt: new Date().toISOString() })
  )
}
