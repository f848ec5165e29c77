import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { GroupParams } from '../schemas/group.ts'
import { problemResponses } from '../schemas/problem.ts'
import type { RebuildStatus } from '../schemas/rebuild.ts'
import { isoTime } from '../src/dead-letter-view.ts'
import { ProblemError } from '../src/errors.ts'
import { groupNamed } from '../src/named-targets.ts'

const refusals = problemResponses(400, 401, 403, 404, 409, 500, 503)
const path = '/admin/streams/:stream/groups/:group/rebuild'
const status = Type.Unsafe<RebuildStatus>(Type.Ref('RebuildStatus'))

/** /admin/streams/{stream}/groups/{group}/rebuild: make what a group keeps anew, out of the whole stream. */
export const rebuilds: FastifyPluginAsyncTypebox = async (app) => {
  const { operations, streams } = app

  const rebuildable = async (params: { stream: string; group: string }) => {
    const { definition, name, group, groupDefinition } = await groupNamed(operations, params)
    if (groupDefinition?.rebuild === undefined || name !== definition.name) throw new ProblemError('no-rebuild')
    return { definition, group }
  }
  const statusOf = async (params: { stream: string; group: string }) => {
    const { definition, group } = await rebuildable(params)
    const parts = await streams.rebuilds.status(definition, group)
    return {
      parts: parts.map(({ finishedAt, ...part }) => ({
        ...part,
        finishedAt: finishedAt === undefined ? undefined : isoTime(finishedAt)
      }))
    }
  }

  app.post(
    path,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['groups'],
        operationId: 'rebuildGroup',
        summary: 'Make what an ordered group keeps anew, out of the whole stream',
        description:
          'Each partition is held, folded from its first entry and goes on. One that is under way begins anew.',
        params: GroupParams,
        response: { 202: status, ...refusals }
      }
    },
    async ({ params }, reply) => {
      const { definition, group } = await rebuildable(params)
      await streams.rebuilds.request(definition, group)
      return reply.code(202).send(await statusOf(params))
    }
  )

  app.get(
    path,
    {
      config: { scope: 'observe' },
      schema: {
        tags: ['groups'],
        operationId: 'getRebuild',
        summary: 'How far the last rebuild is',
        params: GroupParams,
        response: { 200: status, ...refusals }
      }
    },
    async ({ params }) => statusOf(params)
  )
}
