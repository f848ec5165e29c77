/**
 * Following a stream as it grows, without a group. Reads only; each follower has a connection of its own.
 */
import type { Redis } from 'ioredis'
import { BLOCK_MS } from './connections.ts'
import { eventFromFields } from './entry.ts'
import type { Entry } from './reader.ts'

export interface TailStep {
  entries: (Entry & { stream: string; position: string })[]
}

type ReadReply = [string, [string, string[]][]][] | null

const COUNT = 100

/**
 * XREAD COUNT n BLOCK ms STREAMS key ... id ...
 * Yields what is new, and an empty step whenever nothing came for BLOCK_MS. `after` is a position: the last entry id seen of
 * each physical stream, joined by commas; undefined = from now on. Ends when `signal` aborts; throws when Redis is lost.
 */
export async function* followStreams(
  { admin, connection }: { admin: Redis; connection: Redis },
  streams: readonly { name: string; key: string }[],
  after: string | undefined,
  signal: AbortSignal
): AsyncGenerator<TailStep> {
  const ids = after?.split(',') ?? (await Promise.all(streams.map(({ key }) => lastId(admin, key))))
  const end = () => connection.disconnect()
  signal.addEventListener('abort', end)
  try {
    await connection.connect()
    const read = connection.xread.bind(connection) as (...args: (string | number)[]) => Promise<ReadReply>
    const keys = streams.map(({ key }) => key)
    yield { entries: [] }
    while (!signal.aborted) {
      const reply = await read('COUNT', COUNT, 'BLOCK', BLOCK_MS, 'STREAMS', ...keys, ...ids)
      const entries = (reply ?? []).flatMap(([key, rows]) => {
        const index = keys.indexOf(key)
        return rows.map(([entryId, fields]) => {
          ids[index] = entryId
          const { name = '' } = streams[index] ?? {}
          return { stream: name, entryId, event: eventFromFields(fields), position: ids.join(',') }
        })
      })
      yield { entries }
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    signal.removeEventListener('abort', end)
    connection.disconnect()
  }
}

async function lastId(redis: Redis, key: string): Promise<string> {
  return (await redis.xrevrange(key, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0-0'
}
