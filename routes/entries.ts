import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { EntriesQuery, EntryParams, type StreamEntries, type StreamEntry, StreamParams } from '../schemas/entry.ts'
import { problemResponses } from '../schemas/problem.ts'
import { entryIdFrom } from '../src/cursors.ts'
import { type EntryDetail, streamEntriesText, streamEntryText } from '../src/entry-text.ts'
import { ProblemError } from '../src/errors.ts'
import { onlyPart, ownStreamNamed, streamNamed } from '../src/named-targets.ts'
import { pageOver } from '../src/pages.ts'
import type { StreamDefinition } from '../src/topology.ts'

const refusals = problemResponses(400, 401, 403, 404, 409, 500, 503)
const json = 'application/json; charset=utf-8'

/** /admin/streams/{stream}/entries: what is stored, and what became of it. */
export const entries: FastifyPluginAsyncTypebox = async (app) => {
  const { operations } = app
  const { reader } = app.streams

  const detailed = async (part: StreamDefinition, entry: Pick<EntryDetail, 'entryId' | 'event'>) => ({
    stream: part.name,
    ...entry,
    groups: await reader.states(part, entry.entryId)
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
      const part = onlyPart(streamNamed(operations, request.params).parts)
      const entry = await reader.entry(part.name, request.params.entryId)
      if (entry === undefined) throw new ProblemError('entry-not-found')
      return reply.type(json).send(streamEntryText(await detailed(part, entry)) as never)
    }
  )

  app.delete(
    '/admin/streams/:stream/entries/:entryId',
    {
      config: { scope: 'admin' },
      schema: {
        tags: ['streams'],
        operationId: 'eraseEntry',
        summary: 'Erase an entry everywhere: in the stream, and in what every group holds of it',
        description: 'A handler that has the event in its hands at this moment is not stopped; nothing of it is kept.',
        params: EntryParams,
        response: { 204: Type.Null({ description: 'Erased.' }), ...refusals }
      }
    },
    async ({ params }, reply) => {
      const part = onlyPart(ownStreamNamed(operations, params).parts)
      if (!(await operations.erase(part, params.entryId))) throw new ProblemError('entry-not-found')
      return reply.code(204).send(null)
    }
  )

  app.get(
    '/admin/streams/:stream/entries',
    {
      config: { scope: 'read' },
      schema: {
        tags: ['streams'],
        operationId: 'listEntries',
        summary: 'Entries of a stream in a range, or the newest entry of one event',
        params: StreamParams,
        querystring: EntriesQuery,
        response: { 200: Type.Unsafe<StreamEntries>(Type.Ref('StreamEntries')), ...refusals }
      }
    },
    async (request, reply) => {
      const { parts } = streamNamed(operations, request.params)
      const { source, id, from, to, type, subject, order = 'asc', ...page } = request.query
      reply.type(json)
      if ((source === undefined) !== (id === undefined)) throw notAlone(source === undefined ? 'source' : 'id')
      if (source !== undefined && id !== undefined) {
        const found: EntryDetail[] = []
        for (const part of parts) {
          const entry = await reader.find(part.name, { source, id })
          if (entry !== undefined) found.push(await detailed(part, entry))
        }
        return reply.send(streamEntriesText(found) as never)
      }
      const range = {
        from: from === undefined ? undefined : entryIdFrom(from, 'from'),
        to: to === undefined ? undefined : entryIdFrom(to, 'to', 'last'),
        order,
        filter: { type, subject }
      }
      const { items, next } = await pageOver(parts, page, async (part, limit, after) => {
        const found = await reader.list(part.name, { ...range, limit, after })
        return { items: found.entries.map((entry) => ({ stream: part.name, ...entry })), lastId: found.lastId }
      })
      return reply.send(streamEntriesText(items, next) as never)
    }
  )
}

function notAlone(missing: string): ProblemError {
  const detail = 'is needed: an event is found by its source and its id together'
  return new ProblemError('invalid-parameter', {
    detail: `${missing} ${detail}`,
    errors: [{ pointer: `/${missing}`, detail }]
  })
}
