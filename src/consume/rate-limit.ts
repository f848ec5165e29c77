/**
 * The rate limit of one group as this process sees it: tokens taken from the bucket all processes share in Redis, each
 * good for one handler. A token that is not used within a second is forgotten, so tokens never pile up in a process; the
 * limit is kept from above, and missed by that much from below at most.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type GroupAddress, takeTokens } from '../streams/groups.ts'

const GOOD_FOR_MS = 1_000
/** Between two questions: rates far above one per pause are granted several tokens at a time. */
const MIN_PAUSE_MS = 5
const MAX_PAUSE_MS = 1_000
const RETRY_MS = 200

export interface RateLimitOptions {
  at: GroupAddress
  /** Undefined: no limit. */
  ratePerSecond?: number
  /** Tokens have come that were wanted. */
  onTokens: () => void
}

export class RateLimit {
  readonly #options: RateLimitOptions
  readonly #stop = new AbortController()
  #tokens = 0
  /** Monotonic milliseconds. */
  #takenAt = 0
  #wanted = 0
  #asking?: Promise<void>

  constructor(options: RateLimitOptions) {
    this.#options = options
  }

  /** A handler may start, as far as the limit is concerned. */
  get allows(): boolean {
    return this.#options.ratePerSecond === undefined || this.#tokensLeft() > 0
  }

  /** A handler starts. */
  use(): void {
    if (this.#options.ratePerSecond !== undefined) this.#tokens -= 1
  }

  /** So many handlers are waiting to start: asks for their tokens until they have come. */
  want(handlers: number): void {
    if (this.#options.ratePerSecond === undefined) return
    this.#wanted = handlers
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
  }

  /** Up to `handlers` tokens at once, for the caller alone. Rejects when Redis does not answer. */
  async take(handlers: number): Promise<number> {
    const { at, ratePerSecond } = this.#options
    if (ratePerSecond === undefined) return handlers
    return (await takeTokens(at, ratePerSecond, handlers)).taken
  }

  /** Returns tokens got by `take` and not used. */
  async giveBack(tokens: number): Promise<void> {
    const { at, ratePerSecond } = this.#options
    if (ratePerSecond !== undefined && tokens > 0) await takeTokens(at, ratePerSecond, -tokens)
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#asking
  }

  #tokensLeft(): number {
    if (this.#tokens > 0 && performance.now() - this.#takenAt > GOOD_FOR_MS) this.#tokens = 0
    return this.#tokens
  }

  async #ask(): Promise<void> {
    const { at, ratePerSecond = 0, onTokens } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      const missing = this.#wanted - this.#tokensLeft()
      if (missing <= 0) return
      let pauseMs = RETRY_MS
      try {
        const { taken, waitMs } = await takeTokens(at, ratePerSecond, missing)
        this.#tokens = this.#tokensLeft() + taken
        this.#takenAt = performance.now()
        if (taken > 0) onTokens()
        pauseMs = Math.min(MAX_PAUSE_MS, Math.max(MIN_PAUSE_MS, waitMs))
      } catch {
        // Redis does not answer: nothing may start meanwhile, and the heartbeat reports it.
      }
      await delay(pauseMs, undefined, { signal }).catch(() => undefined)
    }
  }
}
