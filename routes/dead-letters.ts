import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  type DeadLetter,
  DeadLetterParams,
  type DeadLetterSummary,
  type DeadLetters,
  DeadLettersQuery,
  type Discarded,
  type DiscardOrder,
  SummaryQuery
} from '../schemas/dead-letter.ts'
import { GroupParams } from '../schemas/group.ts'
import { problemResponses } from '../schemas/problem.ts'
import { causesView, deadLetterItem, deadLetterText, filterFrom } from '../src/dead-letter-view.ts'
import { ProblemError } from '../src/errors.ts'
import { groupNamed, partNamed } from '../src/named-targets.ts'
import { pageOver } from '../src/pages.ts'

const refusals = problemResponses(400, 401, 403, 404, 409, 500, 503)
const path = '/admin/streams/:stream/groups/:group/dead-letters'

/** /admin/streams/{stream}/groups/{group}/dead-letters: what the group has given up, and why. */
export const deadLetters: FastifyPluginAsyncTypebox = async (app) => {
  const { operations } = app
  const letters = operations.deadLetters

  app.get(
    path,
    {
      config: { scope: 'read' },
      schema: {
        tags: ['dead-letters'],
        operationId: 'listDeadLetters',
        summary: 'Dead letters of a group, without the data of their events',
        params: GroupParams,
        querystring: DeadLettersQuery,
        response: { 200: Type.Unsafe<DeadLetters>(Type.Ref('DeadLetters')), ...refusals }
      }
    },
    async ({ params, query }) => {
      const { limit, cursor, order = 'desc', ...filter } = query
      const { at } = await groupNamed(operations, params)
      const wanted = filterFrom(filter)
      return pageOver(at, { limit, cursor }, async (part, limit, after) => {
        const { letters: found, lastId } = await letters.listDeadLetters(part, wanted, { order, limit, after })
        return { items: found.map((letter) => deadLetterItem(part.stream, letter)), lastId }
      })
    }
  )

  app.get(
    `${path}/summary`,
    {
      config: { scope: 'read' },
      schema: {
        tags: ['dead-letters'],
        operationId: 'summarizeDeadLetters',
        summary: 'What the dead letters of a group died of',
        params: GroupParams,
        querystring: SummaryQuery,
        response: { 200: Type.Unsafe<DeadLetterSummary>(Type.Ref('DeadLetterSummary')), ...refusals }
      }
    },
    async ({ params, query }) => {
      const { at } = await groupNamed(operations, params)
      const filter = filterFrom(query)
      const parts = await Promise.all(
        at.map(async (part) => ({ stream: part.stream, ...(await letters.deadLetterCauses(part, filter)) }))
      )
      const items = causesView(parts)
      const total = items.reduce((sum, { count }) => sum + count, 0)
      return { items, total, complete: parts.every(({ complete }) => complete) }
    }
  )

  app.get(
    `${path}/:deadLetterId`,
    {
      config: { scope: 'read' },
      schema: {
        tags: ['dead-letters'],
        operationId: 'getDeadLetter',
        summary: 'One dead letter, with its failures and its event',
        params: DeadLetterParams,
        response: { 200: Type.Unsafe<DeadLetter>(Type.Ref('DeadLetter')), ...refusals }
      }
    },
    async ({ params }, reply) => {
      const at = await partNamed(operations, params)
      const letter = await letters.deadLetter(at, params.deadLetterId)
      if (letter === undefined) throw new ProblemError('dead-letter-not-found')
      return reply.type('application/json; charset=utf-8').send(deadLetterText(at.stream, letter) as never)
    }
  )

  app.delete(
    `${path}/:deadLetterId`,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['dead-letters'],
        operationId: 'deleteDeadLetter',
        summary: 'Delete one dead letter for good',
        params: DeadLetterParams,
        response: { 204: Type.Null({ description: 'Deleted.' }), ...refusals }
      }
    },
    async ({ params }, reply) => {
      const deleted = await letters.discardDeadLetter(await partNamed(operations, params), params.deadLetterId)
      if (!deleted) throw new ProblemError('dead-letter-not-found')
      return reply.code(204).send(null)
    }
  )

  app.post(
    `${path}/discard`,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['dead-letters'],
        operationId: 'discardDeadLetters',
        summary: 'Delete dead letters for good, or count what would be deleted',
        params: GroupParams,
        body: Type.Unsafe<DiscardOrder>(Type.Ref('DiscardOrder')),
        response: { 200: Type.Unsafe<Discarded>(Type.Ref('Discarded')), ...refusals }
      }
    },
    async ({ params, body }) => {
      const { at } = await groupNamed(operations, params)
      const { limit = Number.POSITIVE_INFINITY, dryRun = false } = body
      const filter = filterFrom(body.filter)
      let discarded = 0
      for (const part of at) {
        const left = limit - discarded
        if (dryRun) {
          const { causes } = await letters.deadLetterCauses(part, filter)
          discarded += Math.min(
            left,
            causes.reduce((sum, { count }) => sum + count, 0)
          )
        } else discarded += await letters.discardDeadLetters(part, filter, left)
      }
      return { discarded, dryRun }
    }
  )
}
