/**
 * Following a stream as it grows, without a group. Reads only; each follower has a connection of its own, on a Cluster one
 * for each partition.
 */
import type { Redis } from 'ioredis'
import { BLOCK_MS, type Connections, type RedisOf } from './connections.ts'
import { eventFromFields } from './entry.ts'
import type { Entry } from './reader.ts'

export interface TailStep {
  entries: (Entry & { stream: string; position: string })[]
}

type ReadReply = [string, [string, string[]][]][] | null

interface Followed {
  name: string
  key: string
}

const COUNT = 100

/**
 * XREAD COUNT n BLOCK ms STREAMS key ... id ...
 * Yields what is new, and an empty step whenever nothing came for BLOCK_MS. `after` is a position: the last entry id seen of
 * each physical stream, joined by commas; undefined = from now on. Ends when `signal` aborts; throws when Redis is lost.
 */
export async function* followStreams(
  { admin, homeOf, openReader }: Pick<Connections, 'admin' | 'homeOf' | 'openReader'>,
  streams: readonly Followed[],
  after: string | undefined,
  signal: AbortSignal
): AsyncGenerator<TailStep> {
  const ids = after?.split(',') ?? (await Promise.all(streams.map(({ key }) => lastId(admin, key))))
  const homes = Map.groupBy(streams, ({ key }) => homeOf(key))
  const readers = Array.from(homes.values(), ([first]) => openReader('tail', (first as Followed).key))
  const end = () => {
    for (const reader of readers) reader.disconnect()
  }
  signal.addEventListener('abort', end)
  try {
    await Promise.all(readers.map((reader) => reader.connect()))
    yield { entries: [] }
    const idsOf = new Map(streams.map(({ key }, index) => [key, index]))
    const read = (index: number, keys: readonly string[]) => {
      const from = keys.map((key) => ids[idsOf.get(key) as number] as string)
      return nextOf(readers[index] as Redis, keys, from).then((reply) => ({ index, reply }))
    }
    const keysOf = Array.from(homes.values(), (followed) => followed.map(({ key }) => key))
    const reading = keysOf.map((keys, index) => read(index, keys))
    while (!signal.aborted) {
      const { index, reply } = await Promise.race(reading)
      const entries = (reply ?? []).flatMap(([key, rows]) => {
        const at = idsOf.get(key) as number
        return rows.map(([entryId, fields]) => {
          ids[at] = entryId
          const { name } = streams[at] as Followed
          return { stream: name, entryId, event: eventFromFields(fields), position: ids.join(',') }
        })
      })
      yield { entries }
      reading[index] = read(index, keysOf[index] as string[])
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    signal.removeEventListener('abort', end)
    end()
  }
}

function nextOf(reader: Redis, keys: readonly string[], ids: readonly string[]): Promise<ReadReply> {
  const read = reader.xread.bind(reader) as (...args: (string | number)[]) => Promise<ReadReply>
  const next = read('COUNT', COUNT, 'BLOCK', BLOCK_MS, 'STREAMS', ...keys, ...ids)
  // When one of several readers fails, nobody waits for the others any more.
  next.catch(() => undefined)
  return next
}

async function lastId(redisOf: RedisOf, key: string): Promise<string> {
  return (await redisOf(key).xrevrange(key, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0-0'
}
