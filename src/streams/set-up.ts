/**
 * Setting up what is on several servers: one of them may be away, and must not keep the others waiting.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../log.ts'
import { StartupError } from '../startup-error.ts'

export interface SetUp {
  /**
   * Takes every step once. One that fails is taken again until it succeeds; what it finds wrong then is logged, because
   * requests are being served. Rejects with a StartupError that says everything that is wrong at the first try.
   */
  start: () => Promise<void>
  stop: () => void
}

const RETRY_MS = 500

/** A step is idempotent. It rejects with a StartupError when trying again cannot help. */
export function createSetUp(steps: readonly (() => Promise<void>)[], log: Log): SetUp {
  const stopping = new AbortController()
  const { signal } = stopping

  async function goOn(step: () => Promise<void>): Promise<void> {
    for (;;) {
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return
      try {
        return await step()
      } catch (err) {
        if (!(err instanceof StartupError)) continue
        log.error({}, err.message)
        return
      }
    }
  }

  return {
    async start() {
      const outcomes = await Promise.allSettled(steps.map((step) => step()))
      const failures = outcomes.flatMap((outcome, n) =>
        outcome.status === 'rejected' ? [{ step: steps[n] as () => Promise<void>, err: outcome.reason as Error }] : []
      )
      const wrong = failures.flatMap(({ err }) => (err instanceof StartupError ? err.message.split('\n') : []))
      if (wrong.length > 0) throw new StartupError(Array.from(new Set(wrong)).join('\n'))
      const [first] = failures
      if (first === undefined) return
      log.warn({ err: first.err }, 'Streams could not be set up; they are once Redis can be reached')
      for (const { step } of failures) void goOn(step)
    },
    stop: () => stopping.abort()
  }
}
