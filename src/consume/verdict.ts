import type { GroupDefinition } from '../group-definition.ts'
import type { DeadReason } from '../streams/dead-letters.ts'
import { backoffMs } from './backoff.ts'
import { fingerprintOf, recordFailure } from './failure.ts'
import { Rejection, Unavailability } from './outcomes.ts'

/** What becomes of an event whose handler threw. */
export type Verdict = { attempts: number; errors: string } & (
  | { kind: 'retry'; delayMs: number; tripMs?: number }
  | { kind: 'dead'; reason: DeadReason; fingerprint: string }
)

/**
 * Judges one failure of an event that had failed `attempts` times before, with this history. `at` is Redis milliseconds.
 * Only `unavailable` charges no attempt; it is in the history all the same, or nobody could see why the event waits.
 */
export function judge(
  error: unknown,
  { maxAttempts, backoff }: Pick<GroupDefinition, 'maxAttempts' | 'backoff'>,
  { attempts, errors }: { attempts: number; errors?: string },
  at: number
): Verdict {
  const history = recordFailure(errors, error, at)
  if (error instanceof Unavailability) {
    const delayMs = Math.max(0, error.retryAfterMs ?? backoff.minMs)
    return { kind: 'retry', attempts, errors: history, delayMs, tripMs: delayMs }
  }
  const charged = attempts + 1
  const rejected = error instanceof Rejection
  if (rejected || charged >= maxAttempts) {
    const reason = rejected ? 'rejected' : 'exhausted'
    return { kind: 'dead', attempts: charged, errors: history, reason, fingerprint: fingerprintOf(error) }
  }
  return { kind: 'retry', attempts: charged, errors: history, delayMs: backoffMs(backoff, charged) }
}
