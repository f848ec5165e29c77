import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { EventTypes } from '../schemas/event-type.ts'
import { problemResponses } from '../schemas/problem.ts'
import type { Catalog } from '../src/ingest/catalog.ts'

/** GET /types: what may be published here. */
export const types: FastifyPluginAsyncTypebox<{ catalog: Catalog }> = async (app, { catalog }) => {
  const items = catalog
    .types()
    .map(({ type, stream, schema }) => ({ type, stream: stream.name, schema: schema as Record<string, unknown> }))

  app.get(
    '/types',
    {
      config: { scope: ['publish', 'observe'] },
      schema: {
        tags: ['types'],
        operationId: 'listEventTypes',
        summary: 'The event types this gateway carries',
        response: {
          200: Type.Unsafe<EventTypes>(Type.Ref('EventTypes')),
          ...problemResponses(401, 403, 500)
        }
      }
    },
    () => ({ items })
  )
}
