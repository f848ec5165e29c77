/**
 * Retention: a stream is trimmed towards its `maxLength`, and an unread entry is never cut silently.
 *
 * `unread: 'keep'`: only what every pinning group has read and acknowledged is cut; the group that holds the rest is
 * named in `pinnedBy`. `unread: 'drop'`: the oldest entries are cut, and each one that a group had not read is counted
 * as lost to that group. Groups that do not pin are treated so in both cases.
 */
import type { Redis } from 'ioredis'
import type { Log } from '../log.ts'
import type { StreamDefinition } from '../topology.ts'
import { command } from './commands.ts'
import type { Keys } from './keys.ts'
import type { PinnedBy } from './outcomes.ts'

export interface RetentionState {
  removed: number
  length: number
  /** The group that holds the oldest entry; absent when nothing holds any. */
  pinnedBy?: PinnedBy
}

export interface Retention {
  /**
   * Trims now, as far as is safe. `exact` also cuts inside the oldest node of entries, which is dearer and only worth
   * it when every entry counts. Rejects with the error of the Redis command; some of the excess may then be cut.
   */
  trim: (exact: boolean) => Promise<RetentionState>
  /** Which group held trimming back when it was last tried. */
  pinnedBy: () => PinnedBy | undefined
  start: () => void
  stop: () => void
}

/** What retain.lua returns. */
export type RetainReply =
  | ['unknown', ...string[]]
  | ['done', number, number, string | null, string | null, string | null, number | null]

/** Below this, a node of 100 entries is too large a step: a stream of 10 would never be trimmed at all. */
const COARSE_LENGTH = 1_000

export function createRetention(options: {
  redis: Redis
  keys: Keys
  stream: StreamDefinition
  everyMs: number
  log: Log
}): Retention {
  const { redis, keys, stream, log } = options
  const streamKeys = keys.of(stream.name)
  const retain = command<RetainReply>(redis, 'retain')
  const groups = new Map<string, { pins: boolean; start: string }>()
  for (const group of stream.groups.values())
    groups.set(group.name, { pins: group.pins, start: group.from === 'end' ? '$' : '0' })
  const fine = stream.maxLength < COARSE_LENGTH

  const step = async (exact: boolean): Promise<RetentionState> => {
    for (;;) {
      const counts = Array.from(groups.keys(), (name) => streamKeys.group(name).counts)
      const named = Array.from(groups, ([name, { pins, start }]) => [name, pins ? 1 : 0, start]).flat()
      const reply = await retain(
        [streamKeys.stream, ...counts],
        [Math.min(stream.maxLength, Number.MAX_SAFE_INTEGER), exact ? 1 : 0, stream.unread, ...named]
      )
      if (reply[0] === 'done') return retentionState(reply)
      // Someone else's group: it does not pin, and what it loses is counted.
      for (const name of reply.slice(1) as string[]) groups.set(name, { pins: false, start: '' })
    }
  }

  let pinnedBy: PinnedBy | undefined
  let running: Promise<RetentionState> | undefined
  const trimAll = async (exact: boolean): Promise<RetentionState> => {
    let removed = 0
    for (;;) {
      const state = await step(exact || fine)
      removed += state.removed
      pinnedBy = state.pinnedBy
      if (state.removed === 0 || state.length <= stream.maxLength) return { ...state, removed }
    }
  }

  const trim = async (exact: boolean): Promise<RetentionState> => {
    // A run that began before our caller's groups caught up may have missed that: wait for it, then look again.
    await running?.catch(() => {})
    running ??= trimAll(exact).finally(() => {
      running = undefined
    })
    return running
  }

  const tick = () => {
    trim(false).catch((err) => log.debug({ err, stream: stream.name }, 'trimming failed and will be tried again'))
  }

  let timer: NodeJS.Timeout | undefined
  return {
    trim,
    pinnedBy: () => pinnedBy,
    start() {
      timer ??= setInterval(tick, options.everyMs)
    },
    stop() {
      clearInterval(timer)
      timer = undefined
    }
  }
}

export function retentionState(reply: Extract<RetainReply, ['done', ...unknown[]]>): RetentionState {
  const [, removed, length, group, entryId, consumer, sinceMs] = reply
  if (group === null || entryId === null) return { removed, length }
  return {
    removed,
    length,
    pinnedBy: { group, entryId, ...(consumer === null ? {} : { consumer }), sinceMs: sinceMs ?? 0 }
  }
}
