import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { EntriesQuery, EntryParams, type StreamEntries, type StreamEntry, StreamParams } from '../schemas/entry.ts'
import { problemResponses } from '../schemas/problem.ts'
import { type EntryDetail, streamEntriesText, streamEntryText } from '../src/entry-text.ts'
import { ProblemError } from '../src/errors.ts'
import type { StreamDefinition, Topology } from '../src/topology.ts'

const refusals = problemResponses(400, 401, 403, 404, 500, 503)

/** /admin/streams/{stream}/entries: single entries, and what became of them. */
export const entries: FastifyPluginAsyncTypebox<{ topology: Topology }> = async (app, { topology }) => {
  const { reader } = app.streams

  const streamNamed = (name: string): StreamDefinition => {
    const stream = topology.streams.get(name)
    if (stream === undefined) throw new ProblemError('stream-not-found')
    return stream
  }
  const detailed = async (stream: StreamDefinition, entry: Pick<EntryDetail, 'entryId' | 'event'>) => ({
    stream: stream.name,
    ...entry,
    groups: await reader.states(stream, entry.entryId)
  })

  app.get(
    '/admin/streams/:stream/entries/:entryId',
    {
      config: { scope: 'read' },
      schema: {
        tags: ['streams'],
        operationId: 'getEntry',
        summary: 'One entry, and where it stands in every group',
        params: EntryParams,
        response: { 200: Type.Unsafe<StreamEntry>(Type.Ref('StreamEntry')), ...refusals }
      }
    },
    async (request, reply) => {
      const stream = streamNamed(request.params.stream)
      const entry = await reader.entry(stream.name, request.params.entryId)
      if (entry === undefined) throw new ProblemError('entry-not-found')
      return reply.type('application/json; charset=utf-8').send(streamEntryText(await detailed(stream, entry)) as never)
    }
  )

  app.get(
    '/admin/streams/:stream/entries',
    {
      config: { scope: 'read' },
      schema: {
        tags: ['streams'],
        operationId: 'findEntries',
        summary: 'The newest entry of an event, found by its source and id',
        params: StreamParams,
        querystring: EntriesQuery,
        response: {
          200: Type.Unsafe<StreamEntries>(Type.Ref('StreamEntries')),
          ...refusals
        }
      }
    },
    async (request, reply) => {
      const stream = streamNamed(request.params.stream)
      const entry = await reader.find(stream.name, request.query)
      const found = entry === undefined ? [] : [await detailed(stream, entry)]
      return reply.type('application/json; charset=utf-8').send(streamEntriesText(found) as never)
    }
  )
}
