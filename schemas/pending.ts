import { type Static, Type } from 'typebox'
import { next, page } from './entry.ts'

const ids = Type.Array(Type.String({ pattern: '^(requeue:)?[0-9]{1,20}-[0-9]{1,20}$' }), {
  minItems: 1,
  maxItems: 500,
  description: 'As in the list of pending entries.'
})

export const PendingQuery = Type.Object(
  {
    minIdleMs: Type.Optional(Type.Integer({ minimum: 0, description: 'Handed out at least so long ago.' })),
    consumer: Type.Optional(Type.String({ minLength: 1, maxLength: 250 })),
    ...page
  },
  { additionalProperties: false }
)

export const PendingItem = Type.Object(
  {
    id: Type.String({ description: 'For claim and ack. `requeue:` in front: a retry or a replay.' }),
    stream: Type.String(),
    entryId: Type.String({ description: 'Of the event in its stream.' }),
    consumer: Type.String(),
    idleMs: Type.Integer(),
    deliveries: Type.Integer(),
    gone: Type.Boolean({ description: 'The stream does not hold it any more.' }),
    eventId: Type.Optional(Type.String()),
    type: Type.Optional(Type.String()),
    subject: Type.Optional(Type.String()),
    preview: Type.Optional(Type.String({ description: 'The first 200 characters of the data.' }))
  },
  { $id: 'PendingItem', description: 'An entry that was handed out and not acknowledged.' }
)
export type PendingItem = Static<typeof PendingItem>

export const PendingItems = Type.Object(
  { items: Type.Array(Type.Unsafe<PendingItem>(Type.Ref('PendingItem'))), next },
  { $id: 'PendingItems', description: 'Oldest entry first.' }
)
export type PendingItems = Static<typeof PendingItems>

export const ClaimOrder = Type.Object(
  {
    ids: Type.Optional(ids),
    minIdleMs: Type.Optional(Type.Integer({ minimum: 0, description: 'Leave alone what was handed out since.' })),
    consumer: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 250,
        pattern: '^[^~]',
        description: 'Who gets them, in an external group. Without: whatever process runs the group handles them now.'
      })
    ),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 500, description: 'Without `ids`: so many of the oldest.' })
    )
  },
  { $id: 'ClaimOrder', additionalProperties: false, description: 'Entries to take from whoever holds them.' }
)
export type ClaimOrder = Static<typeof ClaimOrder>

export const ClaimResult = Type.Object(
  {
    id: Type.String(),
    result: Type.Unsafe<'claimed' | 'not-pending' | 'not-idle' | 'payload-gone'>({
      type: 'string',
      enum: ['claimed', 'not-pending', 'not-idle', 'payload-gone'],
      description: '`payload-gone`: the stream does not hold it any more; it is a `lost` dead letter now.'
    })
  },
  { $id: 'ClaimResult' }
)
export type ClaimResult = Static<typeof ClaimResult>

export const ClaimResults = Type.Object(
  { items: Type.Array(Type.Unsafe<ClaimResult>(Type.Ref('ClaimResult'))) },
  { $id: 'ClaimResults', description: 'One for each id.' }
)
export type ClaimResults = Static<typeof ClaimResults>

export const AckOrder = Type.Object(
  { ids },
  { $id: 'AckOrder', additionalProperties: false, description: 'Entries nobody shall handle any more.' }
)
export type AckOrder = Static<typeof AckOrder>

export const AckResult = Type.Object(
  {
    id: Type.String(),
    result: Type.Unsafe<'acked' | 'not-pending'>({ type: 'string', enum: ['acked', 'not-pending'] })
  },
  { $id: 'AckResult' }
)
export type AckResult = Static<typeof AckResult>

export const AckResults = Type.Object(
  { items: Type.Array(Type.Unsafe<AckResult>(Type.Ref('AckResult'))) },
  { $id: 'AckResults', description: 'One for each id.' }
)
export type AckResults = Static<typeof AckResults>
