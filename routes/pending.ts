import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { GroupParams } from '../schemas/group.ts'
import {
  type AckOrder,
  type AckResults,
  type ClaimOrder,
  type ClaimResults,
  type PendingItems,
  PendingQuery
} from '../schemas/pending.ts'
import { problemResponses } from '../schemas/problem.ts'
import { isPendingPosition } from '../src/cursors.ts'
import { ProblemError } from '../src/errors.ts'
import { pendingView } from '../src/group-view.ts'
import { groupNamed, onlyPart } from '../src/named-targets.ts'
import { pageOver } from '../src/pages.ts'

const refusals = problemResponses(400, 401, 403, 404, 409, 500, 503)
const path = '/admin/streams/:stream/groups/:group/pending'
const LIMIT = 100

/** /admin/streams/{stream}/groups/{group}/pending: what was handed out and is not done. */
export const pending: FastifyPluginAsyncTypebox = async (app) => {
  const { operations } = app
  const { listPending, idsToClaim, claimPending, ackPending } = operations.pending

  app.get(
    path,
    {
      config: { scope: 'read' },
      schema: {
        tags: ['groups'],
        operationId: 'listPending',
        summary: 'Entries that were handed out and not acknowledged',
        params: GroupParams,
        querystring: PendingQuery,
        response: { 200: Type.Unsafe<PendingItems>(Type.Ref('PendingItems')), ...refusals }
      }
    },
    async ({ params, query: { minIdleMs = 0, consumer, ...page } }) => {
      const { at } = await groupNamed(operations, params)
      const read = async (part: (typeof at)[number], limit: number, after: string | undefined) => {
        const { items, lastId } = await listPending(part, { minIdleMs, consumer }, limit, after)
        return { items: items.map((item) => pendingView(part.stream, item)), lastId }
      }
      return pageOver(at, page, read, isPendingPosition)
    }
  )

  app.post(
    `${path}/claim`,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['groups'],
        operationId: 'claimPending',
        summary: 'Take entries from whoever holds them; a live process runs them again now',
        params: GroupParams,
        body: Type.Unsafe<ClaimOrder>(Type.Ref('ClaimOrder')),
        response: { 200: Type.Unsafe<ClaimResults>(Type.Ref('ClaimResults')), ...refusals }
      }
    },
    async ({ params, body: { ids, minIdleMs = 0, consumer: to, limit = LIMIT } }) => {
      const { at, groupDefinition } = await groupNamed(operations, params)
      if (groupDefinition?.ordered) throw new ProblemError('group-ordered')
      if (to === undefined && groupDefinition?.handler === undefined) throw new ProblemError('consumer-needed')
      if (ids !== undefined) return { items: await claimPending(onlyPart(at), [...new Set(ids)], { to, minIdleMs }) }
      const items: ClaimResults['items'] = []
      for (const part of at) {
        const found = await idsToClaim(part, { minIdleMs, to }, limit - items.length)
        items.push(...(await claimPending(part, found, { to, minIdleMs })))
      }
      return { items }
    }
  )

  app.post(
    `${path}/ack`,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['groups'],
        operationId: 'ackPending',
        summary: 'Acknowledge entries nobody shall handle any more',
        params: GroupParams,
        body: Type.Unsafe<AckOrder>(Type.Ref('AckOrder')),
        response: { 200: Type.Unsafe<AckResults>(Type.Ref('AckResults')), ...refusals }
      }
    },
    async ({ params, body: { ids } }) => {
      const { at } = await groupNamed(operations, params)
      return { items: await ackPending(onlyPart(at), [...new Set(ids)]) }
    }
  )
}
