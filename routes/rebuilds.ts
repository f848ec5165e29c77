import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { GroupParams } from '../schemas/group.ts'
import { problemResponses } from '../schemas/problem.ts'
import type { RebuildPart, RebuildStatus } from '../schemas/rebuild.ts'
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
    if (groupDefinition?.rebuild === undefined)
      throw new ProblemError('no-rebuild', { detail: 'The topology gives this group no `rebuild`.' })
    if (name !== definition.name)
      throw new ProblemError('no-rebuild', { detail: `All partitions are rebuilt together: name ${definition.name}.` })
    return { definition, group }
  }
  const statusOf = async (params: { stream: string; group: string }) => {
    const { definition, group } = await rebuildable(params)
    const parts = await streams.rebuilds.status(definition, group)
    return {
      state: rebuildState(parts),
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
          'Each partition is held, folded from its first entry and goes on. Refused while the last one is under way; over restarts that goes on by itself.',
        params: GroupParams,
        response: { 202: status, ...refusals }
      }
    },
    async ({ params }, reply) => {
      const { definition, group } = await rebuildable(params)
      const parts = await streams.rebuilds.status(definition, group)
      const left = parts.filter(({ state }) => state === 'wanted').length
      if (left > 0)
        throw new ProblemError('rebuild-running', {
          detail: `${left} of ${parts.length} partitions are still to come.`
        })
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

/** `running` until every partition has ended, then `failed` if one of them has. */
function rebuildState(parts: readonly Pick<RebuildPart, 'state'>[]): RebuildStatus['state'] {
  const has = (state: RebuildPart['state']) => parts.some((part) => part.state === state)
  if (has('wanted')) return 'running'
  if (has('failed')) return 'failed'
  return has('done') ? 'done' : 'none'
}
