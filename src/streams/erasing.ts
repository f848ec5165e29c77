/**
 * Erasing one entry everywhere: in its stream, and in what every group has pending, delayed, requeued or dead of it.
 *
 * The stream and what stems from it directly go in one script. Retries and dead letters have ids of their own and are
 * looked for in pages; meanwhile a handler may move one from place to place, so it is looked for again until a whole
 * round finds nothing. A handler that runs with the event at that moment ends, and its outcome finds nothing to change.
 */
import type { Redis } from 'ioredis'
import { command } from './commands.ts'
import type { Keys, StreamKeys } from './keys.ts'
import { type Reader, rowFrom } from './reader.ts'

const MAX_ROUNDS = 5

/** False: it was nowhere. Idempotent: if it is cut off, the next call goes on. */
export async function eraseEntry(
  { redis, keys, reader }: { redis: Redis; keys: Keys; reader: Reader },
  stream: { name: string; groups: Iterable<string> },
  entryId: string
): Promise<boolean> {
  const streamKeys = keys.of(stream.name)
  const groups = await everyGroup(redis, streamKeys, stream.groups)
  const companions = groups.flatMap((group) => {
    const { delayed, delayedEntries, held } = streamKeys.group(group)
    return [delayed, delayedEntries, held]
  })
  const erase = command<number>(redis, 'erase-entry')
  let found = false
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    let places = await erase([streamKeys.stream, ...companions], [entryId, ...groups])
    for (const group of groups) places += await eraseOwn(redis, reader, streamKeys, group, entryId)
    if (places === 0) return found
    found = true
  }
  return found
}

async function everyGroup(redis: Redis, { stream }: StreamKeys, named: Iterable<string>): Promise<string[]> {
  const groups = new Set(named)
  if ((await redis.exists(stream)) === 1) {
    for (const info of (await redis.xinfo('GROUPS', stream)) as unknown[][]) groups.add(String(rowFrom(info).name))
  }
  return [...groups]
}

/** In the group's own streams. */
async function eraseOwn(
  redis: Redis,
  reader: Reader,
  keys: StreamKeys,
  group: string,
  entryId: string
): Promise<number> {
  const { requeue, dead, counts, held } = keys.group(group)
  let places = 0
  const retry = await reader.search(requeue, entryId, 'retry.entryId')
  if (retry !== undefined) {
    // Acknowledged or not, nobody reads it any more: the script removes it from the stream only if it was pending.
    await command<string[]>(redis, 'ack-pending')([requeue, requeue, counts, held], [group, retry])
    await redis.xdel(requeue, retry)
    places += 1
  }
  const letter = await reader.search(dead, entryId, 'dead.entryId')
  if (letter !== undefined) places += await redis.xdel(dead, letter)
  return places
}
