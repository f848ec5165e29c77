import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { type AuditEntries, AuditQuery } from '../schemas/audit.ts'
import { problemResponses } from '../schemas/problem.ts'
import { cursorFrom, isPagePosition, positionFrom } from '../src/cursors.ts'
import { idTime } from '../src/dead-letter-view.ts'
import { DEFAULT_LIMIT } from '../src/pages.ts'

/** GET /admin/audit: what operators did. */
export const audit: FastifyPluginAsyncTypebox = async (app) => {
  const { operations } = app

  app.get(
    '/admin/audit',
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['audit'],
        operationId: 'listAudit',
        summary: 'What operators did: who, from where, what, when, with what result',
        querystring: AuditQuery,
        response: {
          200: Type.Unsafe<AuditEntries>(Type.Ref('AuditEntries')),
          ...problemResponses(400, 401, 403, 500, 503)
        }
      }
    },
    async ({ query: { limit = DEFAULT_LIMIT, cursor } }) => {
      const before = positionFrom(cursor, isPagePosition)?.id
      const items = await operations.audit.list({ limit, before })
      const last = items.length < limit ? undefined : items.at(-1)
      return {
        items: items.map((item) => ({ ...item, at: idTime(item.id) })),
        next: cursorFrom(last === undefined ? undefined : { part: 0, id: last.id })
      }
    }
  )
}
