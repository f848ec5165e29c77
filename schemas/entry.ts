import { type Static, Type } from 'typebox'

export const StreamParams = Type.Object({
  stream: Type.String({ maxLength: 210, pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]*$' })
})

/** How long a page is and where it begins. */
export const page = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, description: '50 unless given.' })),
  cursor: Type.Optional(Type.String({ maxLength: 1_000, description: '`next` of the page before.' }))
}

export const next = Type.Optional(
  Type.String({ description: 'The cursor of the next page; absent on the last one. A page may be empty and have one.' })
)

export const EntryParams = Type.Object({
  ...StreamParams.properties,
  entryId: Type.String({ pattern: '^[0-9]{1,20}-[0-9]{1,20}$', description: 'For example `1694012345678-0`.' })
})

export const EntriesQuery = Type.Object(
  {
    source: Type.Optional(
      Type.String({ minLength: 1, description: 'With `id`: only the newest entry of this event, with its groups.' })
    ),
    id: Type.Optional(Type.String({ minLength: 1, description: 'The `id` of the event, with its `source`.' })),
    from: Type.Optional(Type.String({ description: 'The first entry: an entry id, or a time (RFC 3339).' })),
    to: Type.Optional(Type.String({ description: 'The last entry.' })),
    type: Type.Optional(Type.String({ description: 'Only events of this type.' })),
    subject: Type.Optional(Type.String({ description: 'Only events with this subject.' })),
    order: Type.Optional(
      Type.Unsafe<'asc' | 'desc'>({ type: 'string', enum: ['asc', 'desc'], description: 'Oldest first unless `desc`.' })
    ),
    ...page
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
    groups: Type.Optional(
      Type.Object(
        {},
        { additionalProperties: Type.Ref('EntryInGroup'), description: 'By name of the group; not in long lists.' }
      )
    )
  },
  { $id: 'StreamEntry', description: 'An entry, and where it stands in every group.' }
)
export type StreamEntry = Static<typeof StreamEntry>

export const StreamEntries = Type.Object(
  { items: Type.Array(Type.Unsafe<StreamEntry>(Type.Ref('StreamEntry'))), next },
  {
    $id: 'StreamEntries',
    description: 'Entries of a stream. By source and id no item or one; the last 100,000 entries are searched then.'
  }
)
export type StreamEntries = Static<typeof StreamEntries>
