/**
 * What every admin route shares: its JSON bodies, that nothing unknown is asked of it, and the record of each change. The record is written before the answer
 * leaves, so an operator who has the answer finds it; a change whose record failed is logged instead.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ProblemError } from '../errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** An operation that changes nothing, although its method is not GET. */
    audited?: false
  }
}

const reading = new Set(['GET', 'HEAD'])

/** Sets up the scope of `app`. */
export function adminRequests(app: FastifyInstance): void {
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, body === '' ? undefined : JSON.parse(body as string))
    } catch {
      done(new ProblemError('malformed-json', { detail: 'The body is not JSON.' }))
    }
  })
  app.addContentTypeParser('*', (_request, _body, done) => {
    const headers = { 'accept-post': 'application/json' }
    done(new ProblemError('unsupported-media-type', { detail: 'Send it as application/json.', headers }))
  })
  app.addHook('preValidation', async (request) => refuseUnasked(request))
  app.addHook('onSend', async (request, reply, payload) => {
    const { config } = request.routeOptions
    if (request.apiKey === null || reading.has(request.method) || config.audited === false) return payload
    const record = recordOf(request, reply.statusCode, typeof payload === 'string' ? payload : '')
    await app.operations.audit.record(record).catch((err: unknown) => app.log.error({ err, record }, 'not audited'))
    return payload
  })
}

/** A route without a schema for its query or body takes none: whoever adds `dryRun` to it must not think it was heard. */
function refuseUnasked({ routeOptions: { schema = {} }, query, body }: FastifyRequest): void {
  const unasked = (part: unknown, where: string) =>
    Object.keys(part ?? {}).map((name) => ({ pointer: `/${name}`, detail: `is not known in the ${where}` }))
  const errors = [
    ...(schema.querystring === undefined ? unasked(query, 'query') : []),
    ...(schema.body === undefined ? unasked(body, 'body') : [])
  ]
  const [first] = errors
  if (first === undefined) return
  throw new ProblemError('invalid-parameter', { detail: `${first.pointer.slice(1)} ${first.detail}`, errors })
}

function recordOf(request: FastifyRequest, status: number, result: string) {
  const { stream, group, ...rest } = request.params as Record<string, string>
  const { operationId = request.routeOptions.url } = (request.routeOptions.schema ?? {}) as { operationId?: string }
  const given = { ...rest, ...(request.query as object), ...((request.body ?? {}) as object) }
  return {
    key: request.apiKey?.name ?? '',
    address: request.ip,
    requestId: request.id,
    operation: String(operationId),
    stream,
    group,
    arguments: JSON.stringify(given),
    status,
    result
  }
}
