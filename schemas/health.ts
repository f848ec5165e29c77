import { type Static, Type } from 'typebox'

export const Liveness = Type.Object(
  { status: Type.Unsafe<'ok'>({ type: 'string', enum: ['ok'] }) },
  { $id: 'Liveness', description: 'The process runs.' }
)
export type Liveness = Static<typeof Liveness>

export const Readiness = Type.Object(
  {
    status: Type.Unsafe<'ok' | 'degraded' | 'starting' | 'draining'>({
      type: 'string',
      enum: ['ok', 'degraded', 'starting', 'draining'],
      description: 'degraded: requests are taken, and some are answered 503.'
    }),
    parts: Type.Object(
      {},
      { additionalProperties: { type: 'string' }, description: '`ok`, or what is wrong, by part.' }
    )
  },
  { $id: 'Readiness', description: 'Whether requests should be sent here.' }
)
export type Readiness = Static<typeof Readiness>
