/**
 * How full a stream is, for whoever watches: its length against its limits, who holds its trimming back, and what the
 * memory of known events takes. Reads only.
 */
import type { StreamDefinition } from '../topology.ts'
import type { RedisOf } from './connections.ts'
import type { Keys } from './keys.ts'
import type { PinnedBy } from './outcomes.ts'

export interface StreamLevel {
  length: number
  /** Infinity: everything is kept. */
  maxLength: number
  /** As it is in force; Infinity: none. */
  hardLimit: number
  /** As of the last trimming, which happens every second. */
  pinnedBy?: PinnedBy
  /** Keys under which events are remembered; those that expire within the current hour are all counted. */
  rememberedKeys: number
  rememberedBytes: number
}

/** Characters of a digest in the key under which an event is remembered. */
const DIGEST_LENGTH = 22
/**
 * Bytes that Redis 7.0 takes for a remembered key besides its name, measured with 200,000 keys of 35 to 99 characters: 143
 * to 148, and 15 more for the fingerprint of an Idempotency-Key.
 */
const BYTES_BESIDE_NAME = 150
const HOUR_MS = 3_600_000

/** For physical streams. XLEN and HGETALL in one round trip; rejects with their error. */
export function createLevels(options: {
  redisOf: RedisOf
  keys: Keys
  hardLimit: (stream: StreamDefinition) => number
  pinnedBy: (stream: StreamDefinition) => PinnedBy | undefined
}): (stream: StreamDefinition) => Promise<StreamLevel> {
  return async (stream) => {
    const keys = options.keys.of(stream.name)
    const redis = options.redisOf(keys.stream)
    const [length, remembered] = await Promise.all([redis.xlen(keys.stream), redis.hgetall(keys.remembered)])
    const thisHour = Math.floor(Date.now() / HOUR_MS)
    const alive = Object.entries(remembered).filter(([hour]) => Number(hour) >= thisHour)
    const rememberedKeys = alive.reduce((sum, [, count]) => sum + Number(count), 0)
    const bytesPerKey = keys.seen('').length + DIGEST_LENGTH + BYTES_BESIDE_NAME
    return {
      length,
      maxLength: stream.maxLength,
      hardLimit: options.hardLimit(stream),
      pinnedBy: options.pinnedBy(stream),
      rememberedKeys,
      rememberedBytes: rememberedKeys * bytesPerKey
    }
  }
}
