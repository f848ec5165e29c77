/**
 * Trimming by an operator's hand. Without force nothing is cut that any group of the stream, pinning or not, has not read
 * and acknowledged; with force the oldest go, and what a group loses by it is counted.
 */
import type { Redis } from 'ioredis'
import type { StreamDefinition } from '../topology.ts'
import { command } from './commands.ts'
import type { Keys } from './keys.ts'
import { type RetainReply, type RetentionState, retentionState } from './retention.ts'

/** Each call cuts at most 1,000 entries; stopping in between is harmless. */
export async function trimStream(
  redis: Redis,
  keys: Keys,
  stream: StreamDefinition,
  { maxLength, force }: { maxLength: number; force: boolean }
): Promise<RetentionState> {
  const { group, stream: key } = keys.of(stream.name)
  const retain = command<RetainReply>(redis, 'retain')
  const groups = new Set(stream.groups.keys())
  let removed = 0
  for (;;) {
    const names = [...groups]
    const named = names.flatMap((name) => [name, force ? 0 : 1, ''])
    const counts = names.map((name) => group(name).counts)
    const reply = await retain([key, ...counts], [maxLength, 1, force ? 'drop' : 'keep', ...named])
    if (reply[0] === 'unknown') {
      for (const name of reply.slice(1) as string[]) groups.add(name)
      continue
    }
    const state = retentionState(reply)
    removed += state.removed
    if (state.removed === 0 || state.length <= maxLength) return { ...state, removed }
  }
}
