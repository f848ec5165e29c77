import { type Static, Type } from 'typebox'
import { GroupParams, next, page } from './group.ts'

export const DeadLetterParams = Type.Object({
  ...GroupParams.properties,
  deadLetterId: Type.String({ pattern: '^[0-9]{1,20}-[0-9]{1,20}$' })
})

const reason = Type.Unsafe<'exhausted' | 'rejected' | 'crashed' | 'lost' | 'undecodable'>({
  type: 'string',
  enum: ['exhausted', 'rejected', 'crashed', 'lost', 'undecodable'],
  description:
    'Tried too often; refused by its handler; its process crashed too often; cut from the stream before it was handled; not an event.'
})

const conditions = {
  reason: Type.Optional(reason),
  fingerprint: Type.Optional(Type.String({ description: 'What the failures have in common, as in the summary.' })),
  type: Type.Optional(Type.String({ description: 'Of the event.' })),
  id: Type.Optional(Type.String({ description: 'Of the event.' })),
  subject: Type.Optional(Type.String({ description: 'Of the event.' })),
  from: Type.Optional(Type.String({ description: 'When it died, at the earliest: RFC 3339, or a dead letter id.' })),
  to: Type.Optional(Type.String({ description: 'When it died, at the latest.' }))
}

export const DeadLetterFilter = Type.Object(conditions, {
  $id: 'DeadLetterFilter',
  additionalProperties: false,
  description: 'Which dead letters are meant: those for which all of this is so. Empty: all.'
})
export type DeadLetterFilter = Static<typeof DeadLetterFilter>

export const SummaryQuery = Type.Object(conditions, { additionalProperties: false })

export const DeadLettersQuery = Type.Object(
  {
    ...conditions,
    order: Type.Optional(
      Type.Unsafe<'asc' | 'desc'>({
        type: 'string',
        enum: ['asc', 'desc'],
        description: 'By when they died; newest first unless `asc`.'
      })
    ),
    ...page
  },
  { additionalProperties: false }
)

export const FailureRecord = Type.Object(
  {
    at: Type.String({ format: 'date-time' }),
    name: Type.String(),
    message: Type.String(),
    stack: Type.Optional(Type.String())
  },
  { $id: 'FailureRecord', description: 'One failure.' }
)
export type FailureRecord = Static<typeof FailureRecord>

const ofLetter = {
  id: Type.String({ description: 'Of the dead letter.' }),
  stream: Type.String({ description: 'The stream or partition its event is in.' }),
  entryId: Type.String({ description: 'Of the event in its stream.' }),
  reason,
  attempts: Type.Integer({ description: 'Failures.' }),
  crashes: Type.Integer({ description: 'Processes that ended while they handled it.' }),
  firstFailedAt: Type.String({ format: 'date-time' }),
  lastFailedAt: Type.String({ format: 'date-time' }),
  consumer: Type.String({ description: 'Who held it last.' }),
  fingerprint: Type.String()
}

export const DeadLetterItem = Type.Object(
  {
    ...ofLetter,
    eventId: Type.String(),
    source: Type.String(),
    type: Type.String(),
    subject: Type.Optional(Type.String()),
    lastError: Type.Optional(Type.Unsafe<FailureRecord>(Type.Ref('FailureRecord')))
  },
  { $id: 'DeadLetterItem', description: 'A dead letter without the data of its event.' }
)
export type DeadLetterItem = Static<typeof DeadLetterItem>

export const DeadLetters = Type.Object(
  { items: Type.Array(Type.Unsafe<DeadLetterItem>(Type.Ref('DeadLetterItem'))), next },
  { $id: 'DeadLetters', description: 'Dead letters of one group.' }
)
export type DeadLetters = Static<typeof DeadLetters>

export const DeadLetter = Type.Object(
  {
    ...ofLetter,
    failures: Type.Integer({ description: 'All there were; the first and last five are below.' }),
    firstErrors: Type.Array(Type.Unsafe<FailureRecord>(Type.Ref('FailureRecord'))),
    lastErrors: Type.Array(Type.Unsafe<FailureRecord>(Type.Ref('FailureRecord'))),
    event: Type.Unsafe<object>(Type.Ref('StoredEvent'))
  },
  { $id: 'DeadLetter', description: 'An event a group has given up, and why.' }
)
export type DeadLetter = Static<typeof DeadLetter>

export const DeadLetterCause = Type.Object(
  {
    fingerprint: Type.String(),
    reason,
    count: Type.Integer(),
    type: Type.String({ description: 'Type of the last event.' }),
    firstAt: Type.String({ format: 'date-time' }),
    lastAt: Type.String({ format: 'date-time' }),
    lastId: Type.String({ description: 'The last dead letter.' }),
    stream: Type.String(),
    lastError: Type.Optional(Type.Unsafe<FailureRecord>(Type.Ref('FailureRecord')))
  },
  { $id: 'DeadLetterCause', description: 'What many events died of.' }
)
export type DeadLetterCause = Static<typeof DeadLetterCause>

export const DeadLetterSummary = Type.Object(
  {
    items: Type.Array(Type.Unsafe<DeadLetterCause>(Type.Ref('DeadLetterCause')), {
      description: 'Most frequent first.'
    }),
    total: Type.Integer(),
    complete: Type.Boolean({ description: 'False: there are more than were counted.' })
  },
  { $id: 'DeadLetterSummary', description: 'Dead letters by what they have in common.' }
)
export type DeadLetterSummary = Static<typeof DeadLetterSummary>

export const DiscardOrder = Type.Object(
  {
    filter: Type.Unsafe<DeadLetterFilter>(Type.Ref('DeadLetterFilter')),
    limit: Type.Optional(Type.Integer({ minimum: 1, description: 'At most so many, the oldest.' })),
    dryRun: Type.Optional(Type.Boolean({ description: 'Only count.' }))
  },
  { $id: 'DiscardOrder', additionalProperties: false, description: 'Which dead letters to delete for good.' }
)
export type DiscardOrder = Static<typeof DiscardOrder>

export const Discarded = Type.Object(
  { discarded: Type.Integer(), dryRun: Type.Boolean() },
  { $id: 'Discarded', description: 'How many dead letters were deleted, or would be.' }
)
export type Discarded = Static<typeof Discarded>
