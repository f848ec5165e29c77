import { type Static, Type } from 'typebox'
import { GroupParams } from './group.ts'

export const ConsumerParams = Type.Object({
  ...GroupParams.properties,
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what a name must not hold
  consumer: Type.String({ maxLength: 250, pattern: /^[^\u0000-\u001f{}*]+$/.source })
})

export const RemoveConsumerQuery = Type.Object(
  {
    move: Type.Optional(
      Type.Boolean({
        description: 'First move what it holds to another consumer or, without `to`, to whatever process runs.'
      })
    ),
    to: Type.Optional(Type.String({ minLength: 1, maxLength: 250 }))
  },
  { additionalProperties: false }
)

export const GroupConsumer = Type.Object(
  {
    stream: Type.String(),
    name: Type.String({ description: 'Names with `~` are pools of entries nobody holds.' }),
    pending: Type.Integer(),
    idleMs: Type.Integer({ description: 'Since it last read something.' }),
    lastHeartbeatAt: Type.Optional(Type.String({ format: 'date-time', description: 'Absent: not a process of ours.' }))
  },
  { $id: 'GroupConsumer', description: 'One reader of a group.' }
)
export type GroupConsumer = Static<typeof GroupConsumer>

export const GroupConsumers = Type.Object(
  { items: Type.Array(Type.Unsafe<GroupConsumer>(Type.Ref('GroupConsumer'))) },
  { $id: 'GroupConsumers' }
)
export type GroupConsumers = Static<typeof GroupConsumers>
