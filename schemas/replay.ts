import { type Static, Type } from 'typebox'
import type { DeadLetterCause, DeadLetterFilter } from './dead-letter.ts'
import { GroupParams } from './group.ts'

export const ReplayParams = Type.Object({
  ...GroupParams.properties,
  replayId: Type.String({ pattern: '^[a-z0-9-]{1,60}$' })
})

const which = {
  ids: Type.Optional(
    Type.Array(Type.String({ pattern: '^[0-9]{1,20}-[0-9]{1,20}$' }), {
      minItems: 1,
      maxItems: 500,
      description: 'Only these dead letters.'
    })
  ),
  filter: Type.Optional(Type.Unsafe<DeadLetterFilter>(Type.Ref('DeadLetterFilter'))),
  limit: Type.Optional(Type.Integer({ minimum: 1, description: 'At most so many, the oldest.' }))
}

export const PreviewOrder = Type.Object(which, {
  $id: 'PreviewOrder',
  additionalProperties: false,
  description: 'Which dead letters a replay would take.'
})
export type PreviewOrder = Static<typeof PreviewOrder>

export const ReplayOrder = Type.Object(
  {
    ...which,
    ratePerSecond: Type.Optional(
      Type.Number({ minimum: 0.1, maximum: 10_000, description: 'Events per second; 100 unless given.' })
    )
  },
  {
    $id: 'ReplayOrder',
    additionalProperties: false,
    description: 'Which dead letters to run again, and how fast. Only letters that are dead now are taken.'
  }
)
export type ReplayOrder = Static<typeof ReplayOrder>

export const ReplayPreview = Type.Object(
  {
    matched: Type.Integer({ description: 'Events that would run again.' }),
    lost: Type.Integer({ description: 'Letters that match and have no event any more: they are skipped.' }),
    missing: Type.Integer({ description: 'Named letters that are not there.' }),
    complete: Type.Boolean({ description: 'False: there are more than were counted.' }),
    causes: Type.Array(Type.Unsafe<DeadLetterCause>(Type.Ref('DeadLetterCause')))
  },
  { $id: 'ReplayPreview', description: 'What a replay would do.' }
)
export type ReplayPreview = Static<typeof ReplayPreview>

export const Replay = Type.Object(
  {
    id: Type.String(),
    status: Type.Unsafe<'running' | 'done' | 'cancelled'>({ type: 'string', enum: ['running', 'done', 'cancelled'] }),
    ratePerSecond: Type.Number(),
    requeued: Type.Integer({ description: 'Events that were given to the group again.' }),
    skipped: Type.Integer({ description: 'Letters that match and have no event any more.' }),
    missing: Type.Integer({ description: 'Named letters that were not there.' }),
    createdBy: Type.String({ description: 'Name of the API key.' }),
    createdAt: Type.String({ format: 'date-time' }),
    endedAt: Type.Optional(Type.String({ format: 'date-time' }))
  },
  { $id: 'Replay', description: 'A replay of dead letters. It can be looked at until a week after its end.' }
)
export type Replay = Static<typeof Replay>

export const Replays = Type.Object(
  { items: Type.Array(Type.Unsafe<Replay>(Type.Ref('Replay')), { description: 'The newest first.' }) },
  { $id: 'Replays', description: 'Replays that are running. One that ended is found by its id, which is in the audit.' }
)
export type Replays = Static<typeof Replays>
