import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { type BatchReceipt, type EventReceipt, PublishHeaders } from '../schemas/event.ts'
import { problemResponses } from '../schemas/problem.ts'
import type { Admission } from '../src/admission.ts'
import type { PublishLines } from '../src/line-publishing.ts'
import { closeAfterBody, lineStream, readEventBodies } from '../src/plugins/event-bodies.ts'
import type { ApiKey } from '../src/plugins/scopes.ts'
import { batchReceiptFrom, eventReceiptFrom } from '../src/receipts.ts'

const publishing = {
  config: { scope: 'publish' },
  // The body is checked by `admit`, event by event, and never by AJV.
  validatorCompiler: () => () => true
} as const

const refusals = problemResponses(400, 401, 403, 408, 413, 415, 422, 429, 500, 503)

interface EventsOptions {
  admission: Admission
  publishLines: PublishLines
  /** How long an NDJSON body may bring nothing. */
  idleMs: number
}

const json = 'application/json; charset=utf-8'

/** POST /events and /events/batch: 202 once everything is stored. */
export const events: FastifyPluginAsyncTypebox<EventsOptions> = async (app, options) => {
  const { admission, publishLines } = options
  const { publish } = app.streams
  const { accepted } = app.requestTally
  readEventBodies(app, options)

  const admit = ({ raw, body, apiKey }: FastifyRequest, form: 'any' | 'batch') =>
    admission.body(raw, body as Buffer | undefined, apiKey as ApiKey, form)

  app.post(
    '/events',
    {
      ...publishing,
      schema: {
        tags: ['events'],
        operationId: 'publishEvent',
        summary: 'Store one event',
        description:
          'Answers once the event is stored. At run time this path takes every form of a CloudEvent over HTTP (structured, batched, binary); arrays, which are answered as in `/events/batch`; and `application/x-ndjson`, one event a line, a body of any size. That is stored while it arrives, ignores the Idempotency-Key and is answered with `accepted`, `duplicates` and `durability`; when a line is refused or the store is, the problem says how many events are stored and from which `line` to go on. Bodies may be sent with `Content-Encoding: gzip`.',
        headers: PublishHeaders,
        body: Type.Ref('NewEvent'),
        response: { 202: Type.Unsafe<EventReceipt>(Type.Ref('EventReceipt')), ...refusals }
      }
    },
    async (request, reply) => {
      reply.code(202)
      const lines = lineStream(request.body)
      if (lines !== undefined) {
        closeAfterBody(request, reply.raw)
        const admitLine = admission.lines(request.raw, request.apiKey as ApiKey)
        const receipt = await publishLines(lines, admitLine, publish)
        accepted('events')
        return reply.type(json).send(JSON.stringify(receipt) as never)
      }
      const { single, publications } = admit(request, 'any')
      const results = await publish(publications)
      const receipt = single ? eventReceiptFrom(publications, results) : batchReceiptFrom(publications, results)
      accepted('events')
      if (single) return receipt as EventReceipt
      return reply.type(json).send(JSON.stringify(receipt) as never)
    }
  )

  app.post(
    '/events/batch',
    {
      ...publishing,
      schema: {
        tags: ['events'],
        operationId: 'publishEvents',
        summary: 'Store many events',
        description:
          'The batch is checked whole before anything is stored. If one of several streams then refuses, the problem says in `results` what became of each event; sending the same batch again with those ids, or under the same Idempotency-Key, completes it and stores nothing twice.',
        headers: PublishHeaders,
        body: Type.Ref('NewEvents'),
        response: { 202: Type.Unsafe<BatchReceipt>(Type.Ref('BatchReceipt')), ...refusals }
      }
    },
    async (request, reply) => {
      const { publications } = admit(request, 'batch')
      reply.code(202)
      const receipt = batchReceiptFrom(publications, await publish(publications))
      accepted('batch')
      return receipt
    }
  )
}
