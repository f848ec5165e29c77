import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { StreamParams } from '../schemas/entry.ts'
import { problemResponses } from '../schemas/problem.ts'
import type { HardLimitOrder, StreamOverview, StreamOverviews, Trimmed, TrimOrder } from '../schemas/stream.ts'
import { ProblemError } from '../src/errors.ts'
import { ownStreamNamed, streamNamed } from '../src/named-targets.ts'
import { streamView } from '../src/stream-view.ts'

const refusals = problemResponses(400, 401, 403, 404, 409, 500, 503)
const overview = { 200: Type.Unsafe<StreamOverview>(Type.Ref('StreamOverview')), ...refusals }

/** /admin/streams: what there is, how full it is, and what an operator can do about that. */
export const streams: FastifyPluginAsyncTypebox = async (app) => {
  const { operations } = app

  app.get(
    '/admin/streams',
    {
      config: { scope: 'observe' },
      schema: {
        tags: ['streams'],
        operationId: 'listStreams',
        summary: 'Every stream: its length, its memory, its groups and what holds its trimming back',
        response: {
          200: Type.Unsafe<StreamOverviews>(Type.Ref('StreamOverviews')),
          ...problemResponses(401, 403, 500, 503)
        }
      }
    },
    async () => {
      const { items, unreachable } = await operations.overviewOfAll()
      return { items: items.map(streamView), unreachable }
    }
  )

  app.get(
    '/admin/streams/:stream',
    {
      config: { scope: 'observe' },
      schema: {
        tags: ['streams'],
        operationId: 'getStream',
        summary: 'One stream, or one partition of it',
        params: StreamParams,
        response: overview
      }
    },
    async ({ params }) => streamView(await operations.overview(streamNamed(operations, params)))
  )

  app.put(
    '/admin/streams/:stream/hard-limit',
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['streams'],
        operationId: 'setHardLimit',
        summary: 'Change the hard limit at run time',
        description:
          'For the moment when a group pins a full stream and producers are refused. Every process obeys it within a second; it survives restarts until it is given back.',
        params: StreamParams,
        body: Type.Unsafe<HardLimitOrder>(Type.Ref('HardLimitOrder')),
        response: overview
      }
    },
    async ({ params, body: { hardLimit } }) => {
      const target = ownStreamNamed(operations, params)
      const { maxLength } = target.definition
      if (hardLimit <= maxLength && Number.isFinite(maxLength)) {
        const detail = `must be above maxLength, ${maxLength}`
        throw new ProblemError('invalid-parameter', { detail, errors: [{ pointer: '/hardLimit', detail }] })
      }
      await operations.setHardLimit(target, hardLimit)
      return streamView(await operations.overview(target))
    }
  )

  app.delete(
    '/admin/streams/:stream/hard-limit',
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['streams'],
        operationId: 'resetHardLimit',
        summary: "Give the hard limit back to the topology's",
        params: StreamParams,
        response: { 204: Type.Null({ description: 'The topology counts again.' }), ...refusals }
      }
    },
    async ({ params }, reply) => {
      await operations.setHardLimit(ownStreamNamed(operations, params), undefined)
      return reply.code(204).send(null)
    }
  )

  app.post(
    '/admin/streams/:stream/trim',
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['streams'],
        operationId: 'trimStream',
        summary: 'Cut the oldest entries, as far as every group has handled them, or further by force',
        params: StreamParams,
        body: Type.Unsafe<TrimOrder>(Type.Ref('TrimOrder')),
        response: { 200: Type.Unsafe<Trimmed>(Type.Ref('Trimmed')), ...refusals }
      }
    },
    async ({ params, body: { maxLength, force = false } }) =>
      operations.trim(ownStreamNamed(operations, params), { maxLength, force })
  )
}
