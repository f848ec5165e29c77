import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { GroupParams } from '../schemas/group.ts'
import { problemResponses } from '../schemas/problem.ts'
import {
  type PreviewOrder,
  type Replay,
  type ReplayOrder,
  ReplayParams,
  type ReplayPreview,
  type Replays
} from '../schemas/replay.ts'
import { ProblemError } from '../src/errors.ts'
import { groupNamed } from '../src/named-targets.ts'
import { previewOf, replayParts, replayView } from '../src/replay-view.ts'

const refusals = problemResponses(400, 401, 403, 404, 409, 500, 503)
const path = '/admin/streams/:stream/groups/:group/replays'
const RATE = 100

/** /admin/streams/{stream}/groups/{group}/replays: run dead letters again, in this group alone. */
export const replays: FastifyPluginAsyncTypebox = async (app) => {
  const { operations } = app

  const found = async (params: { stream: string; group: string }, id: string) => {
    const { at } = await groupNamed(operations, params)
    const replay = await operations.replays.findReplay(at, id)
    if (replay === undefined) throw new ProblemError('replay-not-found')
    return { at, replay }
  }

  app.post(
    `${path}/preview`,
    {
      config: { scope: 'admin', audited: false },
      schema: {
        tags: ['dead-letters'],
        operationId: 'previewReplay',
        summary: 'What a replay would take',
        params: GroupParams,
        body: Type.Unsafe<PreviewOrder>(Type.Ref('PreviewOrder')),
        response: { 200: Type.Unsafe<ReplayPreview>(Type.Ref('ReplayPreview')), ...refusals }
      }
    },
    async ({ params, body }) => previewOf(operations, (await groupNamed(operations, params)).at, body)
  )

  app.post(
    path,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['dead-letters'],
        operationId: 'replayDeadLetters',
        summary: 'Run dead letters again, in this group alone',
        description:
          'Takes only letters that are dead now. The event keeps its id and its failure history, and its attempts start again. Answers at once; the replay goes on in whatever process runs, over restarts.',
        params: GroupParams,
        body: Type.Unsafe<ReplayOrder>(Type.Ref('ReplayOrder')),
        response: { 202: Type.Unsafe<Replay>(Type.Ref('Replay')), ...refusals }
      }
    },
    async ({ params, body, apiKey }, reply) => {
      const { at } = await groupNamed(operations, params)
      const { filter, parts } = await replayParts(operations, at, body)
      const order = { filter, ids: body.ids, ratePerSecond: body.ratePerSecond ?? RATE, createdBy: apiKey?.name ?? '' }
      const id = await operations.replays.createReplay(parts, order)
      operations.replayRunner.hurry()
      return reply.code(202).send(replayView((await found(params, id)).replay))
    }
  )

  app.get(
    path,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['dead-letters'],
        operationId: 'listReplays',
        summary: 'The replays of a group that are not through',
        params: GroupParams,
        response: { 200: Type.Unsafe<Replays>(Type.Ref('Replays')), ...refusals }
      }
    },
    async ({ params }) => {
      const { at } = await groupNamed(operations, params)
      return { items: (await operations.replays.runningReplays(at)).map(replayView) }
    }
  )

  app.get(
    `${path}/:replayId`,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['dead-letters'],
        operationId: 'getReplay',
        summary: 'How far a replay is',
        params: ReplayParams,
        response: { 200: Type.Unsafe<Replay>(Type.Ref('Replay')), ...refusals }
      }
    },
    async ({ params }) => replayView((await found(params, params.replayId)).replay)
  )

  app.delete(
    `${path}/:replayId`,
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['dead-letters'],
        operationId: 'cancelReplay',
        summary: 'End a replay; what it has requeued stays requeued',
        params: ReplayParams,
        response: { 204: Type.Null({ description: 'It is ended.' }), ...refusals }
      }
    },
    async ({ params }, reply) => {
      const { at } = await found(params, params.replayId)
      await operations.replays.cancelReplay(at, params.replayId)
      return reply.code(204).send(null)
    }
  )
}
