/**
 * Rates, by name: each name has a bucket that holds one second's worth of tokens and is refilled as time passes. Pure but
 * for the memory of it; of this process alone.
 */
export interface TokenBuckets {
  /** Takes one token: 0 if there was one, else the seconds until there will be. `now` is in milliseconds. */
  take: (name: string, perSecond: number, now: number) => number
}

interface Bucket {
  tokens: number
  filledAt: number
}

/** Remembers at most `maxNames`; the one that came first is forgotten first, and starts again with a full bucket. */
export function createTokenBuckets(maxNames: number): TokenBuckets {
  const buckets = new Map<string, Bucket>()
  return {
    take(name, perSecond, now) {
      const most = Math.max(1, perSecond)
      let bucket = buckets.get(name)
      if (bucket === undefined) {
        if (buckets.size >= maxNames) buckets.delete(buckets.keys().next().value as string)
        bucket = { tokens: most, filledAt: now }
        buckets.set(name, bucket)
      }
      bucket.tokens = Math.min(most, bucket.tokens + ((now - bucket.filledAt) * perSecond) / 1_000)
      bucket.filledAt = now
      if (bucket.tokens < 1) return (1 - bucket.tokens) / perSecond
      bucket.tokens -= 1
      return 0
    }
  }
}
