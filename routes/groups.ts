import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  type DelayedItems,
  DelayedQuery,
  type GroupOrder,
  GroupParams,
  type GroupStatus,
  type PauseStatus,
  RemoveGroupQuery,
  type SeekOrder,
  type SeekResult
} from '../schemas/group.ts'
import { problemResponses } from '../schemas/problem.ts'
import { isoTime } from '../src/dead-letter-view.ts'
import { ProblemError } from '../src/errors.ts'
import { delayedView, seekPosition } from '../src/group-view.ts'
import { groupNamed, onlyPart, ownStreamNamed } from '../src/named-targets.ts'
import { pageOver } from '../src/pages.ts'

const refusals = problemResponses(400, 401, 403, 404, 409, 500, 503)
const path = '/admin/streams/:stream/groups/:group'
const status = Type.Unsafe<GroupStatus>(Type.Ref('GroupStatus'))

/** /admin/streams/{stream}/groups/{group}: who reads a stream, and from where. */
export const groups: FastifyPluginAsyncTypebox = async (app) => {
  const { operations, streams } = app

  const statusOf = async (params: { stream: string; group: string }) => {
    const { parts } = await groupNamed(operations, params)
    const rows = await streams.lag(parts)
    return { ...params, parts: rows.filter(({ group }) => group === params.group) }
  }

  app.get(
    path,
    {
      config: { scope: 'observe' },
      schema: {
        tags: ['groups'],
        operationId: 'getGroup',
        summary: 'One group: how far it is behind, and what it holds',
        params: GroupParams,
        response: { 200: status, ...refusals }
      }
    },
    async ({ params }) => statusOf(params)
  )

  app.put(
    path,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['groups'],
        operationId: 'putGroup',
        summary: 'Create a group; one that exists stays as it is',
        params: GroupParams,
        body: Type.Unsafe<GroupOrder>(Type.Ref('GroupOrder')),
        response: { 200: status, 201: status, ...refusals }
      }
    },
    async ({ params, body }, reply) => {
      const target = ownStreamNamed(operations, params)
      const created = await operations.createGroup(target, params.group, body.from ?? 'beginning')
      return reply.code(created ? 201 : 200).send(await statusOf(params))
    }
  )

  app.delete(
    path,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['groups'],
        operationId: 'deleteGroup',
        summary: 'Remove a group that the topology does not name, with everything that belongs to it',
        params: GroupParams,
        querystring: RemoveGroupQuery,
        response: { 204: Type.Null({ description: 'Removed.' }), ...refusals }
      }
    },
    async ({ params, query: { force = false } }, reply) => {
      ownStreamNamed(operations, params)
      const { at, groupDefinition } = await groupNamed(operations, params)
      if (groupDefinition !== undefined)
        throw new ProblemError('group-in-use', { detail: 'The topology names it: it would be made again at once.' })
      for (const part of at) {
        const { removed, holds } = await operations.groups.removeGroup(part, force)
        if (!removed) throw new ProblemError('group-in-use', { detail: `It holds ${holds} events in ${part.stream}.` })
      }
      return reply.code(204).send(null)
    }
  )

  for (const action of ['pause', 'resume'] as const) {
    app.post(
      `${path}/${action}`,
      {
        config: { scope: 'admin' },
        schema: {
          tags: ['groups'],
          operationId: `${action}Group`,
          summary:
            action === 'pause'
              ? 'Start no more handlers of this group, in any process; running ones finish'
              : 'Let a paused group go on',
          params: GroupParams,
          response: { 200: Type.Unsafe<PauseStatus>(Type.Ref('PauseStatus')), ...refusals }
        }
      },
      async ({ params }) => {
        const { at } = await groupNamed(operations, params)
        const { changed, since } = await operations[action](at)
        return { paused: action === 'pause', changed, since: since === undefined ? undefined : isoTime(since) }
      }
    )
  }

  app.post(
    `${path}/seek`,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['groups'],
        operationId: 'seekGroup',
        summary: 'Set where a paused group reads on',
        params: GroupParams,
        body: Type.Unsafe<SeekOrder>(Type.Ref('SeekOrder')),
        response: { 200: Type.Unsafe<SeekResult>(Type.Ref('SeekResult')), ...refusals }
      }
    },
    async ({ params, body: { to, clear = false, dryRun = false } }) => {
      ownStreamNamed(operations, params)
      const { at } = await groupNamed(operations, params)
      if (/^\d+-\d+$/.test(to)) onlyPart(at)
      const parts = await operations.seek(at, seekPosition(to), { clear, dryRun })
      if (parts === 'not-paused') throw new ProblemError('group-not-paused')
      if (parts === 'missing') throw new ProblemError('group-not-found')
      return { dryRun, parts }
    }
  )

  app.get(
    `${path}/delayed`,
    {
      config: { scope: 'read' },
      schema: {
        tags: ['groups'],
        operationId: 'listDelayed',
        summary: 'What waits for its next try',
        params: GroupParams,
        querystring: DelayedQuery,
        response: { 200: Type.Unsafe<DelayedItems>(Type.Ref('DelayedItems')), ...refusals }
      }
    },
    async ({ params, query }) => {
      const { at } = await groupNamed(operations, params)
      return pageOver(at, query, async (part, limit, after) => {
        const { items, lastId } = await operations.listDelayed(part, limit, after)
        return { items: items.map((item) => delayedView(part.stream, item)), lastId }
      })
    }
  )
}
