import { type Static, Type } from 'typebox'

export const RebuildPart = Type.Object(
  {
    stream: Type.String(),
    state: Type.Unsafe<'none' | 'wanted' | 'done' | 'failed'>({
      type: 'string',
      enum: ['none', 'wanted', 'done', 'failed'],
      description:
        'Never asked for; asked for, and not through; through; given up, and the group goes on with what it had.'
    }),
    id: Type.Optional(Type.String()),
    finishedAt: Type.Optional(Type.String({ format: 'date-time' })),
    events: Type.Optional(Type.Integer({ description: 'Events folded.' })),
    dead: Type.Optional(Type.Integer({ description: 'Events left out, because they are dead letters.' })),
    deadEntryIds: Type.Optional(Type.Array(Type.String(), { description: 'The first 100 of them.' })),
    error: Type.Optional(Type.String())
  },
  { $id: 'RebuildPart', description: 'The rebuild of one partition.' }
)
export type RebuildPart = Static<typeof RebuildPart>

export const RebuildStatus = Type.Object(
  {
    state: Type.Unsafe<'none' | 'running' | 'done' | 'failed'>({
      type: 'string',
      enum: ['none', 'running', 'done', 'failed'],
      description: 'Of all partitions together.'
    }),
    parts: Type.Array(Type.Unsafe<RebuildPart>(Type.Ref('RebuildPart')))
  },
  { $id: 'RebuildStatus', description: 'The last rebuild, by partition.' }
)
export type RebuildStatus = Static<typeof RebuildStatus>
