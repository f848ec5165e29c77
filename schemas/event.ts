import { type Static, Type } from 'typebox'

const jsonValue = Type.Unsafe<unknown>({ description: 'Any JSON value.' })

export const NewEvent = Type.Object(
  {
    specversion: Type.Optional(Type.Unsafe<'1.0'>({ type: 'string', enum: ['1.0'] })),
    id: Type.Optional(Type.String({ minLength: 1, description: 'Makes sending again safe. Filled in when absent.' })),
    source: Type.Optional(
      Type.String({
        minLength: 1,
        format: 'uri-reference',
        description: "Filled in from the API key's name when absent."
      })
    ),
    type: Type.String({
      minLength: 1,
      description: 'One of GET /types; it decides the stream and the schema of `data`.'
    }),
    time: Type.Optional(Type.String({ format: 'date-time', description: 'Filled in when absent.' })),
    subject: Type.Optional(Type.String({ minLength: 1 })),
    datacontenttype: Type.Optional(Type.String()),
    dataschema: Type.Optional(Type.String({ format: 'uri' })),
    data: Type.Optional(jsonValue)
  },
  {
    $id: 'NewEvent',
    additionalProperties: true,
    description: 'A CloudEvent 1.0 of which only `type` is required. Members of other names are extension attributes.'
  }
)
export type NewEvent = Static<typeof NewEvent>

export const NewEvents = Type.Array(Type.Unsafe<NewEvent>(Type.Ref('NewEvent')), {
  $id: 'NewEvents',
  description: 'Events of any types.'
})
export type NewEvents = Static<typeof NewEvents>

const durability = Type.Unsafe<'memory' | 'fsync' | 'replicated'>({
  type: 'string',
  enum: ['memory', 'fsync', 'replicated'],
  description: 'How safely it is stored. Over several streams: the weakest of them.'
})

const receipt = {
  id: Type.String({ description: "The event's id, as sent or as filled in." }),
  stream: Type.String(),
  entryId: Type.String({ description: 'Where it is in the stream; for a duplicate, where its first copy is.' }),
  duplicate: Type.Boolean({ description: 'It was stored before, and was not stored again.' })
}

export const EventReceipt = Type.Object(
  { ...receipt, durability },
  { $id: 'EventReceipt', description: 'The event is stored.' }
)
export type EventReceipt = Static<typeof EventReceipt>

export const BatchReceiptItem = Type.Object(receipt, {
  $id: 'BatchReceiptItem',
  description: 'One event of a batch, stored.'
})
export type BatchReceiptItem = Static<typeof BatchReceiptItem>

export const BatchReceipt = Type.Object(
  {
    accepted: Type.Integer({ description: 'Events stored now or before.' }),
    duplicates: Type.Integer({ description: 'Those of them that were stored before.' }),
    durability,
    results: Type.Array(Type.Unsafe<BatchReceiptItem>(Type.Ref('BatchReceiptItem')), {
      description: 'In the order of the request.'
    })
  },
  { $id: 'BatchReceipt', description: 'Every event of the batch is stored.' }
)
export type BatchReceipt = Static<typeof BatchReceipt>

export const PublishHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      description:
        'Covers the whole body: the same key with the same body again stores nothing and returns the first answer.'
    })
  )
})
