/**
 * What a failed Redis command means for the one who sent it.
 *
 * - `unsent`: it never left this process; sending it again cannot double anything.
 * - `unknown`: it left, and no answer came. It may have run. Only a command that recognises its own repetition may be
 *   sent again.
 * - `refused`: Redis answered that it did not run and that this passes by itself (failover, a slot on its way to another
 *   node, loading, busy), or once its script is loaded.
 * - `full`: refused because `maxmemory` is reached.
 * - `missing-group`: the consumer group or its stream is gone.
 * - `denied`: refused for good until someone changes something: credentials, rights, a wrong type, our own mistake.
 */
export type RedisFailure = 'unsent' | 'unknown' | 'refused' | 'full' | 'missing-group' | 'denied'

const passing =
  /^(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOREPLICAS|MISCONF|UNBLOCKED|MOVED|ASK|NOSCRIPT)\b/

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

/**
 * The key's slot is on its way from one node of a Cluster to another, and some of the keys, or all, have gone ahead.
 * Nobody follows them there: until the last one has, a command runs on neither node. MOVED: it has arrived, and we are
 * still at the old one.
 */
export function isMoving(error: unknown): boolean {
  return error instanceof Error && /^(ASK|TRYAGAIN|MOVED)\b/.test(error.message)
}

/** The server does not know a script: it has started anew, another one has become the master, or SCRIPT FLUSH. */
export function isMissingScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT')
}
