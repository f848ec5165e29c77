import { type Static, Type } from 'typebox'

export const EventType = Type.Object(
  {
    type: Type.String(),
    stream: Type.String({ description: 'The stream that carries it.' }),
    schema: Type.Object({}, { additionalProperties: true, description: 'JSON Schema of `data`.' })
  },
  { $id: 'EventType', description: 'An event type and what its data must be.' }
)
export type EventType = Static<typeof EventType>

export const EventTypes = Type.Object(
  { items: Type.Array(Type.Unsafe<EventType>(Type.Ref('EventType'))) },
  { $id: 'EventTypes', description: 'Every event type of the topology, by name.' }
)
export type EventTypes = Static<typeof EventTypes>
