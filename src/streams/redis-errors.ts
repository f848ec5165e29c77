/**
 * What a failed Redis command means for the one who sent it.
 *
 * - `unsent`: it never left this process; sending it again cannot double anything.
 * - `unknown`: it left, and no answer came. It may have run. Only a command that recognises its own repetition may be
 *   sent again.
 * - `refused`: Redis answered that it did not run and that this passes by itself (failover, loading, busy).
 * - `full`: refused because `maxmemory` is reached.
 * - `missing-group`: the consumer group or its stream is gone.
 * - `denied`: refused for good until someone changes something: credentials, rights, a wrong type, our own mistake.
 */
export type RedisFailure = 'unsent' | 'unknown' | 'refused' | 'full' | 'missing-group' | 'denied'

const passing = /^(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOREPLICAS|MISCONF|UNBLOCKED|MOVED|ASK)\b/

/** Classifies an error that an ioredis call rejected with. */
export function redisFailure(error: unknown): RedisFailure {
  const message = error instanceof Error ? error.message : String(error)
  const name = error instanceof Error ? error.name : ''
  if (name === 'ReplyError') {
    // A script reports an error of one of its commands with that command's own code in front.
    if (message.startsWith('OOM') || message.includes('OOM command not allowed')) return 'full'
    if (message.startsWith('NOGROUP')) return 'missing-group'
    return passing.test(message) ? 'refused' : 'denied'
  }
  if (message.includes("Stream isn't writeable")) return 'unsent'
  return 'unknown'
}
