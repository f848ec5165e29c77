import { type Static, Type } from 'typebox'

export const StreamParams = Type.Object({ stream: Type.String({ minLength: 1, maxLength: 200 }) })

export const EntryParams = Type.Object({
  ...StreamParams.properties,
  entryId: Type.String({ pattern: '^[0-9]{1,20}-[0-9]{1,20}$', description: 'For example `1694012345678-0`.' })
})

export const EntriesQuery = Type.Object(
  {
    source: Type.String({ minLength: 1, description: 'The `source` of the event to find.' }),
    id: Type.String({ minLength: 1, description: 'The `id` of the event to find.' })
  },
  { additionalProperties: false }
)

export const StoredEvent = Type.Object(
  {
    specversion: Type.String(),
    id: Type.String(),
    source: Type.String(),
    type: Type.String(),
    time: Type.Optional(Type.String()),
    subject: Type.Optional(Type.String()),
    datacontenttype: Type.Optional(Type.String()),
    dataschema: Type.Optional(Type.String()),
    data: Type.Optional(Type.Unsafe<unknown>({ description: 'Exactly as it was sent.' })),
    data_base64: Type.Optional(Type.String({ format: 'byte' }))
  },
  { $id: 'StoredEvent', additionalProperties: true, description: 'A CloudEvent 1.0 with its extension attributes.' }
)
export type StoredEvent = Static<typeof StoredEvent>

export const EntryInGroup = Type.Object(
  {
    state: Type.Unsafe<'unread' | 'pending' | 'delayed' | 'requeued' | 'dead' | 'done'>({
      type: 'string',
      enum: ['unread', 'pending', 'delayed', 'requeued', 'dead', 'done']
    }),
    consumer: Type.Optional(Type.String({ description: 'Who handles it, while pending.' })),
    dueAt: Type.Optional(Type.String({ format: 'date-time', description: 'When it is tried again, while delayed.' })),
    deadLetterId: Type.Optional(Type.String({ description: 'The id of its dead letter, once dead.' }))
  },
  { $id: 'EntryInGroup', description: 'What became of an entry in one group.' }
)
export type EntryInGroup = Static<typeof EntryInGroup>

export const StreamEntry = Type.Object(
  {
    stream: Type.String(),
    entryId: Type.String(),
    event: Type.Unsafe<StoredEvent>(Type.Ref('StoredEvent')),
    groups: Type.Object({}, { additionalProperties: Type.Ref('EntryInGroup'), description: 'By name of the group.' })
  },
  { $id: 'StreamEntry', description: 'An entry, and where it stands in every group.' }
)
export type StreamEntry = Static<typeof StreamEntry>

export const StreamEntries = Type.Object(
  { items: Type.Array(Type.Unsafe<StreamEntry>(Type.Ref('StreamEntry'))) },
  { $id: 'StreamEntries', description: 'No item, or one. The last 100,000 entries are searched.' }
)
export type StreamEntries = Static<typeof StreamEntries>
