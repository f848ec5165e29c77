import { type Static, Type } from 'typebox'

export const GroupLag = Type.Object(
  {
    stream: Type.String(),
    group: Type.String(),
    kind: Type.Unsafe<'handler' | 'external' | 'orphan'>({
      type: 'string',
      enum: ['handler', 'external', 'orphan'],
      description: 'Read by handlers here; by another service; by nobody the topology names.'
    }),
    unread: Type.Integer({ description: 'Entries nobody of the group has read.' }),
    approximate: Type.Optional(Type.Boolean({ description: '`unread` is a lower bound.' })),
    lagSeconds: Type.Number({ description: 'Age of the oldest unread entry.' }),
    pending: Type.Integer({ description: 'Read from the stream and not yet acknowledged.' }),
    oldestPendingMs: Type.Optional(
      Type.Integer({ description: 'How long ago the oldest pending entry was handed out.' })
    ),
    delayed: Type.Integer({ description: 'Waiting for a retry.' }),
    requeue: Type.Integer({ description: 'Retries and replays that are handled now or next.' }),
    dead: Type.Integer({ description: 'Dead letters.' }),
    crashes: Type.Integer({ description: 'Times a process ended while it handled an entry.' }),
    lost: Type.Integer({ description: 'Entries that were cut before the group had handled them.' }),
    recreated: Type.Integer({ description: 'Times the group had vanished from Redis and was made again.' }),
    redeliveries: Type.Integer({ description: 'Entries taken over from another consumer.' }),
    discarded: Type.Integer({ description: 'Dead letters that operators deleted.' }),
    replayed: Type.Integer({ description: 'Dead letters that replays gave to the group again.' }),
    cleared: Type.Integer({ description: 'Events the group held that a seek dropped.' }),
    skipped: Type.Integer({ description: 'Unread events that a seek went past.' }),
    acked: Type.Integer({ description: 'Entries that were acknowledged, handled or passed over.' }),
    deadTotal: Type.Integer({ description: 'Dead letters there have ever been.' }),
    consumers: Type.Integer({ description: 'Processes whose heartbeat is fresh.' }),
    paused: Type.Boolean(),
    alerts: Type.Array(Type.Unsafe<'lag' | 'pending' | 'dead'>({ type: 'string', enum: ['lag', 'pending', 'dead'] }), {
      description: 'Which limits of the topology are exceeded.'
    })
  },
  { $id: 'GroupLag', description: 'How far behind one group is, and what it holds.' }
)
export type GroupLag = Static<typeof GroupLag>

export const Lag = Type.Object(
  {
    items: Type.Array(Type.Unsafe<GroupLag>(Type.Ref('GroupLag'))),
    unreachable: Type.Array(Type.String(), {
      description:
        'Streams whose Redis does not answer: on a Cluster, those of a node that is away. Their groups are missing.'
    }),
    checkedAt: Type.String({ format: 'date-time' })
  },
  { $id: 'Lag', description: 'One item for each group of the topology.' }
)
export type Lag = Static<typeof Lag>
