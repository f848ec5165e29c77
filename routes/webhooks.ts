import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { DeliveryReceipt } from '../schemas/webhook.ts'
import { ProblemError } from '../src/errors.ts'
import type { WebhookResult } from '../src/metrics/request-tally.ts'
import { rateLimited } from '../src/plugins/rate-limits.ts'
import { createTokenBuckets } from '../src/plugins/token-buckets.ts'
import { eventReceiptFrom } from '../src/receipts.ts'
import type { Reception, Source } from '../src/sources.ts'
import type { Handshake } from '../src/webhooks/preset-definition.ts'
import { headersFrom } from '../src/webhooks/request.ts'

const open = { exposeHeadRoute: false, config: { public: true } } as const
const everyMethod = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
const handshakeMethods: Partial<Record<Handshake, string>> = { 'meta-get': 'GET', 'cloudevents-options': 'OPTIONS' }
const nothing = Buffer.alloc(0)

/** /webhooks/{source}: deliveries, answered once they are stored, and the questions senders ask beforehand. */
export const webhooks: FastifyPluginAsync<{ sources: ReadonlyMap<string, Source> }> = async (app, { sources }) => {
  const { publish } = app.streams
  const { requestTally: tally } = app
  const buckets = createTokenBuckets(sources.size)

  // The signature covers the bytes, whatever they are said to be.
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))

  for (const { definition, receive } of sources.values()) {
    const { name, preset, bodyLimitBytes, ratePerSecond } = definition
    const methods = methodsOf(preset.handshake)
    const status = preset.answer?.status ?? 200

    app.route({
      ...open,
      method: methods,
      url: `/webhooks/${name}`,
      bodyLimit: bodyLimitBytes,
      schema: { hide: true, response: { [status]: DeliveryReceipt } },
      handler: async (request, reply) => {
        if (receive === undefined) {
          tally.webhook(name, 'not-configured')
          throw new ProblemError('source-not-configured')
        }
        const reception = receive(deliveryFrom(request))
        tally.webhook(name, resultOf(reception))
        if (reception.kind !== 'delivery') return answerOther(reception, methods, reply)
        // Only now: forged requests must not use up what the sender may send.
        const waitSeconds = ratePerSecond === undefined ? 0 : buckets.take(name, ratePerSecond, performance.now())
        if (waitSeconds > 0) throw rateLimited(`This source takes ${ratePerSecond} deliveries per second.`, waitSeconds)
        tally.received('webhooks', 'webhook', 1)
        const publications = [reception.publication]
        const { id, entryId, duplicate } = eventReceiptFrom(publications, await publish(publications))
        tally.accepted('webhooks')
        reply.code(status)
        return status === 204 ? reply.send() : { id, entryId, duplicate }
      }
    })
  }
  refuseOthers(app, sources)
}

/** Sources that do not exist, and methods that nothing was registered for above. */
function refuseOthers(app: FastifyInstance, sources: ReadonlyMap<string, Source>): void {
  app.route<{ Params: { source: string } }>({
    ...open,
    method: everyMethod,
    url: '/webhooks/:source',
    schema: { hide: true },
    onRequest: async ({ params }) => {
      const source = sources.get(params.source)
      throw source === undefined
        ? new ProblemError('source-not-found')
        : methodNotAllowed(methodsOf(source.definition.preset.handshake))
    },
    handler: () => undefined
  })
}

function resultOf(reception: Reception): WebhookResult {
  if (reception.kind === 'refused') return reception.reason
  return reception.kind === 'delivery' ? 'verified' : reception.kind
}

function methodsOf(handshake: Handshake | undefined): string[] {
  const other = handshake === undefined ? undefined : handshakeMethods[handshake]
  return other === undefined ? ['POST'] : [other, 'POST']
}

function deliveryFrom(request: FastifyRequest) {
  const { method, url, query, raw, body } = request
  return {
    method,
    search: url.includes('?') ? url.slice(url.indexOf('?')) : '',
    query: query as Record<string, string | string[]>,
    headers: headersFrom(raw.rawHeaders),
    body: (body as Buffer | undefined) ?? nothing
  }
}

/** Whatever was wrong, the sender is told the same; the log has the reason. */
function answerOther(
  reception: Exclude<Reception, { kind: 'delivery' }>,
  methods: readonly string[],
  reply: FastifyReply
) {
  if (reception.kind === 'handshake') {
    const { status, headers, body } = reception.answer
    return reply.code(status).headers(headers).send(body)
  }
  if (reception.kind === 'not-a-delivery') throw methodNotAllowed(methods)
  const { reason } = reception
  throw new ProblemError('webhook-refused', { reason, headers: { 'www-authenticate': 'Webhook' } })
}

function methodNotAllowed(methods: readonly string[]): ProblemError {
  const allow = methods.join(', ')
  return new ProblemError('method-not-allowed', { detail: `This path takes ${allow}.`, headers: { allow } })
}
