/**
 * What Redis does with a write before it answers. Asked at every (re)connect, because a failover or a CONFIG SET can
 * change it; until the answer is there, nothing beyond `memory` is claimed.
 */
import type { Redis } from 'ioredis'
import type { DurabilityLevel, Log } from '../topology.ts'

export interface Durability {
  /** `fsync` if every write is on disk before its answer, else `memory`. */
  level: () => DurabilityLevel
  /** Asks now. Never rejects: what cannot be seen is not claimed. */
  check: () => Promise<void>
}

export function createDurability(redis: Redis, log: Log): Durability {
  let level: DurabilityLevel = 'memory'
  let said = ''

  function say(text: string, fields: object = {}): void {
    if (text === said) return
    said = text
    log.info({ durability: level, ...fields }, text)
  }

  async function check(): Promise<void> {
    try {
      const flat = (await redis.config('GET', 'append*')) as string[]
      const also = (await redis.config('GET', 'no-appendfsync-on-rewrite')) as string[]
      const settings = new Map<string, string>()
      for (const list of [flat, also])
        for (let i = 0; i < list.length; i += 2) settings.set(list[i] ?? '', list[i + 1] ?? '')
      const always = settings.get('appendonly') === 'yes' && settings.get('appendfsync') === 'always'
      level = always && settings.get('no-appendfsync-on-rewrite') === 'no' ? 'fsync' : 'memory'
      say(
        level === 'fsync'
          ? 'Redis writes every event to disk before it answers'
          : 'Redis may lose the last events if it stops'
      )
    } catch (err) {
      if (redis.status === 'ready')
        say("Redis does not say how durably it stores (CONFIG GET failed): claiming 'memory'", { err })
    }
  }

  redis.on('close', () => {
    level = 'memory'
  })
  redis.on('ready', check)
  return { level: () => level, check }
}
