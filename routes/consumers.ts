import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { ConsumerParams, type GroupConsumers, RemoveConsumerQuery } from '../schemas/consumer.ts'
import { GroupParams } from '../schemas/group.ts'
import { problemResponses } from '../schemas/problem.ts'
import { isoTime } from '../src/dead-letter-view.ts'
import { ProblemError } from '../src/errors.ts'
import { groupNamed } from '../src/named-targets.ts'

const refusals = problemResponses(400, 401, 403, 404, 409, 500, 503)
const path = '/admin/streams/:stream/groups/:group/consumers'

/** /admin/streams/{stream}/groups/{group}/consumers: who reads for a group. */
export const groupConsumers: FastifyPluginAsyncTypebox = async (app) => {
  const { operations } = app

  app.get(
    path,
    {
      config: { scope: 'observe' },
      schema: {
        tags: ['groups'],
        operationId: 'listConsumers',
        summary: 'Who reads for a group, and what each holds',
        params: GroupParams,
        response: { 200: Type.Unsafe<GroupConsumers>(Type.Ref('GroupConsumers')), ...refusals }
      }
    },
    async ({ params }) => {
      const { at } = await groupNamed(operations, params)
      const lists = at.map(async (part) =>
        (await operations.groups.listConsumers(part)).map(({ lastHeartbeat, ...consumer }) => ({
          stream: part.stream,
          ...consumer,
          lastHeartbeatAt: lastHeartbeat === undefined ? undefined : isoTime(lastHeartbeat)
        }))
      )
      return { items: (await Promise.all(lists)).flat() }
    }
  )

  app.delete(
    `${path}/:consumer`,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['groups'],
        operationId: 'deleteConsumer',
        summary: 'Remove a consumer that is gone',
        description: 'Refused while it is alive, and while it holds entries unless they are moved first.',
        params: ConsumerParams,
        querystring: RemoveConsumerQuery,
        response: { 204: Type.Null({ description: 'Removed.' }), ...refusals }
      }
    },
    async ({ params, query: { move = false, to } }, reply) => {
      const { at, groupDefinition } = await groupNamed(operations, params)
      if (groupDefinition?.ordered) throw new ProblemError('group-ordered')
      if (move && to === undefined && groupDefinition?.handler === undefined) throw new ProblemError('consumer-needed')
      const outcomes: string[] = []
      for (const part of at) {
        outcomes.push(
          await operations.removeConsumer(part, params.consumer, { move, to }, groupDefinition?.staleAfterMs)
        )
      }
      if (outcomes.includes('in-use')) throw new ProblemError('consumer-in-use')
      if (!outcomes.includes('removed')) throw new ProblemError('consumer-not-found')
      return reply.code(204).send(null)
    }
  )
}
