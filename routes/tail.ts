import type { ServerResponse } from 'node:http'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { StreamParams } from '../schemas/entry.ts'
import { TailHeaders, TailQuery } from '../schemas/tail.ts'
import { type EntryDetail, streamEntryText } from '../src/entry-text.ts'
import { ProblemError } from '../src/errors.ts'
import { streamNamed } from '../src/named-targets.ts'

/** Open at once in one process: each has a connection to Redis. */
const MAX_TAILS = 20
/** What a reader may leave unread before it is cut. */
const MAX_UNREAD_BYTES = 1_048_576

/** GET /admin/streams/{stream}/tail: entries as they are stored, as server-sent events. */
export const tail: FastifyPluginAsyncTypebox = async (app) => {
  const { operations } = app
  const open = new Set<AbortController>()
  app.addHook('preClose', async () => {
    for (const ending of open) ending.abort()
  })

  app.get(
    '/admin/streams/:stream/tail',
    {
      exposeHeadRoute: false,
      config: { scope: 'read' },
      schema: { hide: true, params: StreamParams, querystring: TailQuery, headers: TailHeaders }
    },
    async ({ params, query, headers, id: requestId }, reply) => {
      const target = streamNamed(operations, params)
      const after = headers['last-event-id']
      if (after !== undefined && after.split(',').length !== target.parts.length)
        throw new ProblemError('invalid-parameter', { detail: 'Last-Event-ID is of another stream.' })
      if (open.size >= MAX_TAILS) throw new ProblemError('too-many-tails')
      const ending = new AbortController()
      open.add(ending)
      reply.hijack()
      const answer = reply.raw
      answer.once('close', () => ending.abort())
      const head = { ...reply.getHeaders(), 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' }
      answer.writeHead(200, head as Record<string, string>)
      try {
        for await (const { entries } of operations.follow(target, after, ending.signal)) {
          const wanted = entries.filter(({ event }) => isWanted(event, query))
          // Nothing came, or nothing that is wanted: this line shows that all is well.
          send(answer, wanted.length === 0 ? ': nothing new\n\n' : wanted.map(messageOf).join(''))
        }
      } catch (err) {
        app.log.warn({ err, requestId }, 'a tail ended')
      } finally {
        open.delete(ending)
        answer.end()
      }
    }
  )
}

function isWanted(event: { type: string; subject?: string }, { type, subject }: { type?: string; subject?: string }) {
  return (type === undefined || event.type === type) && (subject === undefined || event.subject === subject)
}

/** Data may have been sent with line breaks in it: each of its lines is a line of the message. */
function messageOf({ position, ...entry }: EntryDetail & { position: string }): string {
  const data = streamEntryText(entry).replace(/\r\n|\r|\n/g, '\ndata: ')
  return `id: ${position}\ndata: ${data}\n\n`
}

/** A reader that does not keep up is cut: it comes back with Last-Event-ID, and nothing piles up here. */
function send(answer: ServerResponse, text: string): void {
  if (answer.writableLength > MAX_UNREAD_BYTES) answer.destroy()
  else answer.write(text)
}
