import type { Backoff } from '../topology-options.ts'

/**
 * Milliseconds to wait after the given failure (1 = the first): minMs, minMs * factor, ... up to maxMs, then spread by
 * `jitter` of it in both directions.
 */
export function backoffMs(backoff: Backoff, failure: number, random: () => number = Math.random): number {
  const delay = Math.min(backoff.maxMs, backoff.minMs * backoff.factor ** (failure - 1))
  return Math.round(delay * (1 + backoff.jitter * (2 * random() - 1)))
}
