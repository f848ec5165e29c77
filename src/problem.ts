/**
 * From any error to the RFC 9457 answer. Pure: the same error gives the same answer, but for the jitter of Retry-After.
 */
import type { Problem } from '../schemas/problem.ts'
import {
  type ProblemCode,
  type ProblemDetails,
  ProblemError,
  type ProblemFault,
  type ProblemKind,
  problems
} from './errors.ts'
import { isMoving, redisFailure } from './streams/redis-errors.ts'

export interface ProblemAnswer {
  status: number
  headers: Record<string, string>
  body: Problem
}

export const problemMediaType = 'application/problem+json'

/** The answer for one code. `requestId` becomes `instance`. */
export function problemAnswer(code: ProblemCode, requestId: string, details: ProblemDetails = {}): ProblemAnswer {
  const kind: ProblemKind = problems[code]
  const headers: Record<string, string> = { 'content-type': problemMediaType, ...details.headers }
  if (kind.retryAfter !== undefined) headers['retry-after'] = String(kind.retryAfter + Math.floor(Math.random() * 3))
  const detail = kind.status >= 500 ? kind.advice : (details.detail ?? kind.advice)
  const body: Problem = {
    type: `/problems#${code}`,
    title: kind.title,
    status: kind.status,
    detail,
    instance: requestId,
    code
  }
  if (details.errors !== undefined) body.errors = [...details.errors]
  if (details.more !== undefined && details.more > 0) body.moreErrors = details.more
  if (details.progress !== undefined) Object.assign(body, details.progress)
  if (details.results !== undefined) body.results = details.results as Problem['results']
  return { status: kind.status, headers, body }
}

/** The answer for whatever a hook, a route or Fastify itself threw. An error nobody foresaw is `internal-error`. */
export function problemFromError(error: unknown, requestId: string): ProblemAnswer {
  if (error instanceof ProblemError) return problemAnswer(error.problem, requestId, error.details)
  const { code, validation, validationContext } = error as FrameworkError
  if (validation !== undefined) {
    const errors = validation.map((fault) => faultOf(fault, validationContext))
    return problemAnswer('invalid-parameter', requestId, {
      detail: `${errors[0]?.pointer.slice(1) || 'The body'} ${errors[0]?.detail}`,
      errors
    })
  }
  const known = redisProblem(error) ?? (code === undefined ? undefined : frameworkProblems[code])
  return known === undefined
    ? problemAnswer('internal-error', requestId)
    : problemAnswer(known, requestId, { detail: frameworkDetails[known] })
}

/** What Node's HTTP parser gave up on, before there was a request. */
export function problemFromClientError(code: string | undefined, requestId: string): ProblemAnswer {
  return problemAnswer(parserProblems[code ?? ''] ?? 'malformed-request', requestId)
}

/** What a failed Redis command means for a request that only looks. A refusal that does not pass is our fault. */
function redisProblem(error: unknown): ProblemCode | undefined {
  const { name, message, syscall } = error as FrameworkError
  const isReply = name === 'ReplyError'
  if (!isReply && name !== 'MaxRetriesPerRequestError' && syscall === undefined && !redisGone.test(message))
    return undefined
  if (isMoving(error)) return 'store-moving'
  const failure = redisFailure(error)
  return isReply && failure !== 'refused' ? 'internal-error' : 'store-down'
}

const redisGone = /^(Connection is closed|Stream isn't writeable|Command timed out|Socket timeout)/

interface FrameworkError extends Error {
  code?: string
  syscall?: string
  validation?: ValidationFault[]
  validationContext?: string
}

interface ValidationFault {
  keyword: string
  instancePath: string
  message?: string
  params: Record<string, unknown>
}

function faultOf({ keyword, instancePath, message, params }: ValidationFault, context = 'request'): ProblemFault {
  const where = context === 'querystring' ? 'query' : context
  if (keyword === 'required')
    return { pointer: `${instancePath}/${params.missingProperty}`, detail: `is required in the ${where}` }
  if (keyword === 'additionalProperties')
    return { pointer: `${instancePath}/${params.additionalProperty}`, detail: `is not known in the ${where}` }
  if (keyword === 'enum')
    return { pointer: instancePath, detail: `must be one of ${(params.allowedValues as unknown[]).join(', ')}` }
  if (keyword === 'type' && instancePath === '') return { pointer: '', detail: 'must be a JSON object' }
  return { pointer: instancePath, detail: message ?? 'is not valid' }
}

const frameworkProblems: Record<string, ProblemCode> = {
  FST_ERR_BAD_URL: 'malformed-request',
  FST_ERR_MAX_PARAM_LENGTH: 'invalid-parameter',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body-too-large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported-media-type',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'malformed-request',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed-json',
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed-json'
}

const frameworkDetails: Partial<Record<ProblemCode, string>> = {
  'malformed-request': 'The URL holds an invalid percent escape, or the body is not as long as Content-Length says.'
}

const parserProblems: Record<string, ProblemCode> = {
  HPE_HEADER_OVERFLOW: 'headers-too-large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout'
}
