import { type Static, Type } from 'typebox'
import { next, page, StreamParams } from './entry.ts'
import type { GroupLag } from './lag.ts'

export const GroupParams = Type.Object({
  ...StreamParams.properties,
  group: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$' })
})

export { next, page }

export const GroupStatus = Type.Object(
  {
    stream: Type.String(),
    group: Type.String(),
    parts: Type.Array(Type.Unsafe<GroupLag>(Type.Ref('GroupLag')), { description: 'One, or one per partition.' })
  },
  { $id: 'GroupStatus', description: 'A group, how far it is behind and what it holds.' }
)
export type GroupStatus = Static<typeof GroupStatus>

export const GroupOrder = Type.Object(
  {
    from: Type.Optional(
      Type.Unsafe<'beginning' | 'end'>({
        type: 'string',
        enum: ['beginning', 'end'],
        description: 'Where it starts if it is new; at the beginning unless given.'
      })
    )
  },
  { $id: 'GroupOrder', additionalProperties: false, description: 'A group to create.' }
)
export type GroupOrder = Static<typeof GroupOrder>

export const RemoveGroupQuery = Type.Object(
  { force: Type.Optional(Type.Boolean({ description: 'Also if it still holds events, which are lost with it.' })) },
  { additionalProperties: false }
)

export const PauseStatus = Type.Object(
  {
    paused: Type.Boolean(),
    changed: Type.Boolean({ description: 'False: it was so before.' }),
    since: Type.Optional(Type.String({ format: 'date-time' }))
  },
  { $id: 'PauseStatus', description: 'Whether a group is paused. Every process obeys within a second.' }
)
export type PauseStatus = Static<typeof PauseStatus>

export const SeekOrder = Type.Object(
  {
    to: Type.String({
      maxLength: 100,
      description:
        '`beginning`, `end`, an entry id or a time (RFC 3339): the next entry read is that one or the first after it.'
    }),
    clear: Type.Optional(Type.Boolean({ description: 'Also drop what is pending, delayed and requeued.' })),
    dryRun: Type.Optional(Type.Boolean({ description: 'Only count.' }))
  },
  { $id: 'SeekOrder', additionalProperties: false, description: 'Where a paused group reads on.' }
)
export type SeekOrder = Static<typeof SeekOrder>

export const SeekPart = Type.Object(
  {
    stream: Type.String(),
    lastDeliveredId: Type.String({ description: 'The last entry that counts as read.' }),
    unread: Type.Integer({ description: 'Entries it then reads.' }),
    approximate: Type.Optional(Type.Boolean({ description: '`unread` is a lower bound.' })),
    skipped: Type.Integer({ description: 'Unread entries it goes past; counted in `/admin/lag`.' }),
    pending: Type.Integer({ description: 'Dropped with `clear`, else still handled.' }),
    delayed: Type.Integer(),
    requeue: Type.Integer()
  },
  { $id: 'SeekPart' }
)
export type SeekPart = Static<typeof SeekPart>

export const SeekResult = Type.Object(
  { dryRun: Type.Boolean(), parts: Type.Array(Type.Unsafe<SeekPart>(Type.Ref('SeekPart'))) },
  { $id: 'SeekResult', description: 'What a seek did, or would do; one part, or one per partition.' }
)
export type SeekResult = Static<typeof SeekResult>

export const DelayedQuery = Type.Object(page, { additionalProperties: false })

export const DelayedItem = Type.Object(
  {
    stream: Type.String(),
    entryId: Type.String(),
    dueAt: Type.String({ format: 'date-time' }),
    attempts: Type.Integer(),
    crashes: Type.Integer(),
    firstFailedAt: Type.String({ format: 'date-time' }),
    lastError: Type.Optional(Type.String()),
    eventId: Type.String(),
    type: Type.String(),
    subject: Type.Optional(Type.String())
  },
  { $id: 'DelayedItem', description: 'An event that waits for its next try.' }
)
export type DelayedItem = Static<typeof DelayedItem>

export const DelayedItems = Type.Object(
  {
    items: Type.Array(Type.Unsafe<DelayedItem>(Type.Ref('DelayedItem')), { description: 'The next due first.' }),
    next
  },
  { $id: 'DelayedItems' }
)
export type DelayedItems = Static<typeof DelayedItems>
