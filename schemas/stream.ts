import { type Static, Type } from 'typebox'

export const Pin = Type.Object(
  {
    group: Type.String(),
    entryId: Type.String({ description: 'The oldest entry it has not read and acknowledged.' }),
    consumer: Type.Optional(Type.String({ description: 'Who has it; absent when nobody has read it yet.' })),
    sinceMs: Type.Integer({ description: 'How long ago it was read or, unread, written.' })
  },
  { $id: 'Pin', description: 'Which group holds trimming back.' }
)
export type Pin = Static<typeof Pin>

export const StreamGroup = Type.Object(
  {
    name: Type.String(),
    kind: Type.Unsafe<'handler' | 'external' | 'orphan'>({
      type: 'string',
      enum: ['handler', 'external', 'orphan'],
      description: 'Read by handlers here; by another service; by nobody the topology names.'
    }),
    pins: Type.Boolean({ description: 'May it hold back trimming?' }),
    ordered: Type.Boolean(),
    pending: Type.Integer(),
    consumers: Type.Integer({ description: 'Names Redis has for it. How many processes are alive is in /admin/lag.' }),
    lastDeliveredId: Type.String()
  },
  { $id: 'StreamGroup', description: 'A group of a stream. How far it is behind is in /admin/lag.' }
)
export type StreamGroup = Static<typeof StreamGroup>

export const StreamPart = Type.Object(
  {
    stream: Type.String(),
    length: Type.Integer(),
    memoryBytes: Type.Integer({ description: 'As Redis samples it.' }),
    firstEntryId: Type.Optional(Type.String()),
    lastEntryId: Type.Optional(Type.String()),
    hardLimit: Type.Optional(Type.Integer({ description: 'Appends beyond it are refused; absent: no limit.' })),
    hardLimitChanged: Type.Boolean({ description: 'An operator changed it at run time.' }),
    pinnedBy: Type.Optional(Type.Unsafe<Pin>(Type.Ref('Pin'))),
    groups: Type.Array(Type.Unsafe<StreamGroup>(Type.Ref('StreamGroup')))
  },
  { $id: 'StreamPart', description: 'One stream in Redis: a partition, or the whole of a stream without partitions.' }
)
export type StreamPart = Static<typeof StreamPart>

export const StreamOverview = Type.Object(
  {
    stream: Type.String(),
    observed: Type.Boolean({ description: "Someone else's: never written or trimmed from here." }),
    partitions: Type.Optional(Type.Integer()),
    length: Type.Integer(),
    memoryBytes: Type.Integer(),
    maxLength: Type.Optional(Type.Integer({ description: 'Trimming aims at it, per partition; absent: all is kept.' })),
    unread: Type.Unsafe<'keep' | 'drop'>({
      type: 'string',
      enum: ['keep', 'drop'],
      description: 'What trimming does to entries a group has not read.'
    }),
    types: Type.Array(Type.String()),
    parts: Type.Array(Type.Unsafe<StreamPart>(Type.Ref('StreamPart')))
  },
  { $id: 'StreamOverview', description: 'A stream, and the state it is in.' }
)
export type StreamOverview = Static<typeof StreamOverview>

export const StreamOverviews = Type.Object(
  {
    items: Type.Array(Type.Unsafe<StreamOverview>(Type.Ref('StreamOverview'))),
    unreachable: Type.Array(Type.String(), {
      description: 'Streams whose Redis does not answer: on a Cluster, those of a node that is away.'
    })
  },
  { $id: 'StreamOverviews', description: 'Every stream of the topology.' }
)
export type StreamOverviews = Static<typeof StreamOverviews>

export const HardLimitOrder = Type.Object(
  { hardLimit: Type.Integer({ minimum: 1, maximum: 1_000_000_000, description: 'Above `maxLength`; per partition.' }) },
  { $id: 'HardLimitOrder', additionalProperties: false, description: 'Another hard limit, until it is given back.' }
)
export type HardLimitOrder = Static<typeof HardLimitOrder>

export const TrimOrder = Type.Object(
  {
    maxLength: Type.Integer({ minimum: 0, description: 'How many entries to keep; per partition.' }),
    force: Type.Optional(
      Type.Boolean({ description: 'Cut entries that groups have not read, too. What each group loses is counted.' })
    )
  },
  { $id: 'TrimOrder', additionalProperties: false, description: 'How far to trim.' }
)
export type TrimOrder = Static<typeof TrimOrder>

export const Trimmed = Type.Object(
  {
    removed: Type.Integer(),
    length: Type.Integer({ description: 'Afterwards.' }),
    pinnedBy: Type.Optional(Type.Unsafe<Pin>(Type.Ref('Pin')))
  },
  { $id: 'Trimmed', description: 'What trimming did, and which group held it back.' }
)
export type Trimmed = Static<typeof Trimmed>
