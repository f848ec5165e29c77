/**
 * Every problem an answer can report: its code, its HTTP status and what it means. `advice` says what the client can
 * do; it is the whole detail of a 5xx, which reveals nothing else.
 */
import createError from '@fastify/error'

export interface ProblemKind {
  status: number
  title: string
  advice?: string
  /** Seconds for Retry-After; a little is added at random, so that clients do not come back together. */
  retryAfter?: number
}

const sendAgain = 'Send it again later.'
const sendAgainSafely =
  'Send it again with the same ids or the same Idempotency-Key; without either it may be stored twice.'

export const problems = {
  'malformed-request': { status: 400, title: 'The HTTP request or its URL cannot be read' },
  'malformed-json': { status: 400, title: 'The body is not JSON' },
  'malformed-encoding': { status: 400, title: 'The body is not what its Content-Encoding says' },
  'invalid-event': { status: 400, title: 'An event breaks a rule of CloudEvents' },
  'invalid-parameter': { status: 400, title: 'A parameter of the request is not valid' },
  'invalid-idempotency-key': { status: 400, title: 'The Idempotency-Key is not valid' },
  unauthenticated: {
    status: 401,
    title: 'A valid API key is needed',
    advice: 'Send it as Authorization: Bearer <key>.'
  },
  'webhook-refused': { status: 401, title: 'The delivery does not show that its sender holds the secret' },
  forbidden: { status: 403, title: 'The API key lacks a scope' },
  'route-not-found': { status: 404, title: 'There is nothing at this path' },
  'stream-not-found': {
    status: 404,
    title: 'The topology has no such stream',
    advice: 'GET /admin/streams lists those there are.'
  },
  'entry-not-found': { status: 404, title: 'The stream has no such entry' },
  'group-not-found': {
    status: 404,
    title: 'The stream has no such group',
    advice: 'GET /admin/streams lists the groups of each stream.'
  },
  'consumer-not-found': { status: 404, title: 'The group has no such consumer' },
  'dead-letter-not-found': { status: 404, title: 'The group has no such dead letter' },
  'replay-not-found': { status: 404, title: 'The group has no such replay' },
  'source-not-found': { status: 404, title: 'The topology has no such webhook source' },
  'method-not-allowed': { status: 405, title: 'This path does not take this method' },
  'request-timeout': { status: 408, title: 'The request took too long to arrive' },
  'partition-needed': {
    status: 409,
    title: 'The stream is partitioned, and this concerns one partition',
    advice: 'Name the partition as the stream, such as carts:cart:events:3.'
  },
  'stream-observed': { status: 409, title: "The stream is someone else's and is never changed from here" },
  'group-not-paused': {
    status: 409,
    title: 'The group has to be paused first',
    advice: 'POST …/pause, then this again, then POST …/resume.'
  },
  'group-ordered': { status: 409, title: 'The group keeps an order, and its owner alone moves its entries' },
  'no-rebuild': { status: 409, title: 'What this group keeps cannot be rebuilt' },
  'rebuild-running': { status: 409, title: 'The last rebuild of this group is still under way' },
  'consumer-needed': { status: 409, title: 'No process here reads this group: name the consumer' },
  'group-in-use': { status: 409, title: 'The group still holds events, or the topology names it' },
  'consumer-in-use': {
    status: 409,
    title: 'The consumer is alive or still holds entries',
    advice: 'Once its process has ended, ?move=true first gives what it holds to others.'
  },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'too-many-events': {
    status: 413,
    title: 'The request holds too many events',
    advice: 'Send fewer events in one request.'
  },
  'unsupported-media-type': { status: 415, title: 'This Content-Type is not understood here' },
  'unsupported-encoding': { status: 415, title: 'This Content-Encoding is not understood here' },
  'unknown-type': { status: 422, title: 'No stream carries this event type' },
  'schema-violation': { status: 422, title: "An event's data does not match the schema of its type" },
  'missing-partition-key': { status: 422, title: 'The stream keeps an order per key, and an event has none' },
  'key-reused': { status: 422, title: 'The Idempotency-Key was used with another payload' },
  'rate-limited': {
    status: 429,
    title: 'Too many requests',
    advice: 'Send fewer requests, with more events in each. Nothing was changed.'
  },
  'headers-too-large': { status: 431, title: 'The request headers are too large' },
  'internal-error': {
    status: 500,
    title: 'The gateway failed',
    advice: `This is a fault of the gateway. ${sendAgainSafely}`
  },
  'source-not-configured': {
    status: 503,
    title: 'The webhook source has no secret yet',
    advice: `Nothing was stored. ${sendAgain}`,
    retryAfter: 60
  },
  'stream-full': {
    status: 503,
    title: 'The stream is full',
    advice: `A consumer group is behind, and nothing it has not read is thrown away. ${sendAgain}`,
    retryAfter: 5
  },
  'store-full': { status: 503, title: 'The store is full', advice: `It is out of memory. ${sendAgain}`, retryAfter: 5 },
  'store-down': {
    status: 503,
    title: 'The store cannot be reached',
    advice: `Nothing was changed. ${sendAgain}`,
    retryAfter: 1
  },
  'store-moving': {
    status: 503,
    title: 'The store is moving data',
    advice: `Nothing was changed. ${sendAgain}`,
    retryAfter: 1
  },
  'outcome-unknown': {
    status: 503,
    title: 'It is not known whether this was stored',
    advice: sendAgainSafely,
    retryAfter: 1
  },
  'durability-unknown': {
    status: 503,
    title: 'Stored, and not yet as durably as the stream demands',
    advice: sendAgainSafely,
    retryAfter: 1
  },
  overloaded: {
    status: 503,
    title: 'The gateway is overloaded',
    advice: `Nothing was changed. ${sendAgain}`,
    retryAfter: 1
  },
  'too-many-tails': {
    status: 503,
    title: 'Too many live tails are open',
    advice: 'Close another tail, or try again later.',
    retryAfter: 5
  },
  draining: {
    status: 503,
    title: 'The gateway is stopping',
    advice: 'Send the rest of the body again: another process, or this one once it has started, takes it.',
    retryAfter: 1
  }
} as const satisfies Record<string, ProblemKind>

export type ProblemCode = keyof typeof problems

/** One fault of one part of the request. `pointer` is a JSON pointer into the body, or `/<name>` of a parameter. */
export interface ProblemFault {
  pointer: string
  detail: string
  code?: ProblemCode
}

/** How far a body that is stored piece by piece got. */
export interface Progress {
  /** Events of the body that are stored, duplicates included. */
  accepted: number
  duplicates: number
  /** The first line that is not known to be stored, from 1. */
  line: number
}

/** What an answer says beyond its code. */
export interface ProblemDetails {
  detail?: string
  errors?: readonly ProblemFault[]
  /** Faults that were left out of `errors`. */
  more?: number
  /** What became of each event of a batch that was stored in part. */
  results?: readonly object[]
  /** For a body that was stored in part before it was refused. */
  progress?: Progress
  headers?: Record<string, string>
  /** For the log alone. */
  reason?: string
  cause?: unknown
}

// A problem that was foreseen needs no stack: most are a client's, and a stack costs more than the rest of the answer.
const Base = createError<string>('headgate', '%s', undefined, Error, false)

/** Thrown by hooks and routes; src/problem.ts turns it into the answer. */
export class ProblemError extends Base {
  readonly problem: ProblemCode
  readonly details: ProblemDetails
  constructor(problem: ProblemCode, details: ProblemDetails = {}) {
    super(details.detail ?? problems[problem].title)
    this.problem = problem
    this.code = problem
    this.statusCode = problems[problem].status
    this.details = details
    if (details.cause !== undefined) this.cause = details.cause
  }
}
