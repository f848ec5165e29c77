import { Type } from 'typebox'

export const TailQuery = Type.Object(
  { type: Type.Optional(Type.String()), subject: Type.Optional(Type.String()) },
  { additionalProperties: false }
)

/** One entry id per partition, as sent in `id:`. */
export const TailHeaders = Type.Object({
  'last-event-id': Type.Optional(
    Type.String({ maxLength: 12_000, pattern: '^\\d{1,20}-\\d{1,20}(,\\d{1,20}-\\d{1,20})*$' })
  )
})
