import { type Static, Type } from 'typebox'

export const Fault = Type.Object(
  {
    pointer: Type.String({
      description:
        "JSON pointer into the body (`/3/data/amount`; empty = the whole body), or `/` and a parameter's name."
    }),
    detail: Type.String(),
    code: Type.Optional(Type.String())
  },
  { $id: 'Fault', description: 'One thing that is wrong with a request.' }
)
export type Fault = Static<typeof Fault>

export const EventResult = Type.Object(
  {
    id: Type.String(),
    stream: Type.String(),
    stored: Type.Boolean(),
    entryId: Type.Optional(Type.String()),
    duplicate: Type.Optional(Type.Boolean()),
    code: Type.Optional(Type.String({ description: 'Why it is not stored, or not known to be.' }))
  },
  { $id: 'EventResult', description: 'What became of one event of a request that was stored in part.' }
)
export type EventResult = Static<typeof EventResult>

export const Problem = Type.Object(
  {
    type: Type.String({ format: 'uri-reference', description: 'Where the code is explained.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.Optional(Type.String()),
    instance: Type.String({ description: 'The request id, as in the x-request-id header.' }),
    code: Type.String({ description: 'Stable and machine-readable, lower-kebab.' }),
    errors: Type.Optional(Type.Array(Type.Unsafe<Fault>(Type.Ref('Fault')))),
    moreErrors: Type.Optional(Type.Integer({ description: 'Faults that are not listed in `errors`.' })),
    results: Type.Optional(
      Type.Array(Type.Unsafe<EventResult>(Type.Ref('EventResult')), { description: 'In the order of the request.' })
    ),
    accepted: Type.Optional(
      Type.Integer({ description: 'NDJSON: events of this body that are stored, duplicates included.' })
    ),
    duplicates: Type.Optional(Type.Integer({ description: 'NDJSON: those of them that were stored before.' })),
    line: Type.Optional(
      Type.Integer({ description: 'NDJSON: the first line that is not known to be stored, from 1. Go on from there.' })
    )
  },
  { $id: 'Problem', description: 'RFC 9457 problem details.' }
)
export type Problem = Static<typeof Problem>

const descriptions = {
  400: 'Malformed: JSON, an attribute, a header or a parameter.',
  401: 'No valid API key.',
  403: 'The API key lacks a scope.',
  404: 'Not found.',
  408: 'The request took too long to arrive.',
  409: 'Not in the present state: see `code`.',
  413: 'The body is too large, or holds too many events.',
  415: 'The Content-Type or Content-Encoding is not understood.',
  422: 'Well-formed, and refused: unknown event type, data against its schema, or an Idempotency-Key used again.',
  429: 'Too many requests from this API key or address: see Retry-After.',
  500: 'A fault of the gateway.',
  503: 'Not now: see `code` and Retry-After.'
} as const

/** The error answers of a route, each spelled out: a range such as `4XX` breaks client generators. */
export function problemResponses(...statuses: (keyof typeof descriptions)[]) {
  const content = { 'application/problem+json': { schema: Type.Unsafe<Problem>(Type.Ref('Problem')) } }
  return Object.fromEntries(statuses.map((status) => [status, { description: descriptions[status], content }]))
}

export const ProblemKind = Type.Object(
  { code: Type.String(), status: Type.Integer(), title: Type.String(), advice: Type.Optional(Type.String()) },
  { $id: 'ProblemKind', description: 'What a code means and what a client can do about it.' }
)
export type ProblemKind = Static<typeof ProblemKind>

export const ProblemKinds = Type.Object(
  { items: Type.Array(Type.Unsafe<ProblemKind>(Type.Ref('ProblemKind'))) },
  { $id: 'ProblemKinds', description: 'Every code of a problem.' }
)
export type ProblemKinds = Static<typeof ProblemKinds>
