/**
 * The hard limits of streams that operators changed at run time. They are kept in Redis; every process reads them once a
 * second, so an append is measured against a new limit at most a second after it was set.
 */
import type { Log } from '../log.ts'
import type { StreamDefinition } from '../topology.ts'
import type { RedisOf } from './connections.ts'
import type { Keys } from './keys.ts'

export interface HardLimits {
  /** What appends to this physical stream are measured against; Infinity for a stream that keeps everything. */
  of: (stream: StreamDefinition) => number
  /** Reads that of one physical stream now. */
  refresh: (stream: { name: string }) => Promise<void>
  start: () => void
  stop: () => void
}

const FIELD = 'hardLimit'
const REFRESH_MS = 1_000

export function createHardLimits(options: {
  redisOf: RedisOf
  keys: Keys
  streams: readonly StreamDefinition[]
  log: Log
}): HardLimits {
  const { redisOf, keys, streams, log } = options
  const changed = new Map<string, number>()
  let timer: NodeJS.Timeout | undefined

  const refresh = async ({ name }: { name: string }) => {
    const limit = await givenHardLimit(redisOf, keys, name)
    if (limit === undefined) changed.delete(name)
    else changed.set(name, limit)
  }
  const tick = () => {
    for (const stream of streams) {
      if (redisOf(keys.of(stream.name).stream).status !== 'ready') continue
      refresh(stream).catch((err) => {
        log.debug({ err, stream: stream.name }, 'A hard limit could not be read; the last one stays')
      })
    }
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
export async function givenHardLimit(redisOf: RedisOf, keys: Keys, stream: string): Promise<number | undefined> {
  const { settings } = keys.of(stream)
  const given = await redisOf(settings).hget(settings, FIELD)
  return given === null ? undefined : Number(given)
}

/** Sets it for physical streams, or with `undefined` gives them back the topology's. Idempotent. */
export async function setHardLimit(
  redisOf: RedisOf,
  keys: Keys,
  streams: readonly StreamDefinition[],
  limit: number | undefined
): Promise<void> {
  for (const { name } of streams) {
    const { settings } = keys.of(name)
    if (limit === undefined) await redisOf(settings).hdel(settings, FIELD)
    else await redisOf(settings).hset(settings, FIELD, limit)
  }
}
