/**
 * The hard limits of streams that operators changed at run time. They are kept in Redis; every process reads them once a
 * second, so an append is measured against a new limit at most a second after it was set.
 */
import type { Redis } from 'ioredis'
import type { Log, StreamDefinition } from '../topology.ts'
import type { Keys } from './keys.ts'

export interface HardLimits {
  /** What appends to this physical stream are measured against; Infinity for a stream that keeps everything. */
  of: (stream: StreamDefinition) => number
  /** Reads them now. */
  refresh: () => Promise<void>
  start: () => void
  stop: () => void
}

const FIELD = 'hardLimit'
const REFRESH_MS = 1_000

export function createHardLimits(options: {
  redis: Redis
  keys: Keys
  streams: readonly StreamDefinition[]
  log: Log
}): HardLimits {
  const { redis, keys, streams, log } = options
  const changed = new Map<string, number>()
  let timer: NodeJS.Timeout | undefined

  const refresh = async () => {
    const given = await Promise.all(streams.map(({ name }) => givenHardLimit(redis, keys, name)))
    streams.forEach(({ name }, index) => {
      const limit = given[index]
      if (limit === undefined) changed.delete(name)
      else changed.set(name, limit)
    })
  }
  const tick = () => {
    if (redis.status === 'ready')
      refresh().catch((err) => log.debug({ err }, 'Hard limits could not be read; the last ones stay'))
  }
  return {
    of: ({ name, hardLimit }) => changed.get(name) ?? hardLimit,
    refresh,
    start() {
      timer ??= setInterval(tick, REFRESH_MS)
    },
    stop() {
      clearInterval(timer)
      timer = undefined
    }
  }
}

/** HGET settings hardLimit: what an operator set for this physical stream; undefined: the topology's counts. */
export async function givenHardLimit(redis: Redis, keys: Keys, stream: string): Promise<number | undefined> {
  const given = await redis.hget(keys.of(stream).settings, FIELD)
  return given === null ? undefined : Number(given)
}

/** Sets it for physical streams, or with `undefined` gives them back the topology's. Idempotent. */
export async function setHardLimit(
  redis: Redis,
  keys: Keys,
  streams: readonly StreamDefinition[],
  limit: number | undefined
): Promise<void> {
  for (const { name } of streams) {
    const { settings } = keys.of(name)
    if (limit === undefined) await redis.hdel(settings, FIELD)
    else await redis.hset(settings, FIELD, limit)
  }
}
