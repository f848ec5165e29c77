/**
 * What a handler may throw besides an ordinary error, which means: try again later.
 */

/** The event itself is wrong and will never be handled: dead letter at once. */
export class Rejection extends Error {
  override name = 'Rejection'
}

/** Something the handler needs is not there. It is nobody's fault: no attempt is charged, and the group stops reading. */
export class Unavailability extends Error {
  override name = 'Unavailability'
  readonly retryAfterMs?: number

  constructor(why: string, retryAfterMs?: number, options?: ErrorOptions) {
    super(why, options)
    this.retryAfterMs = retryAfterMs
  }
}

/** The handler took longer than `handlerTimeoutMs`. An ordinary failure. */
export class HandlerTimeout extends Error {
  override name = 'HandlerTimeout'
}

/** The entry belongs to another process now; what this one still does with it is refused. */
export class TakenOver extends Error {
  override name = 'TakenOver'
}

/** `throw reject('no such product')` in a handler makes the event a dead letter at once. */
export function reject(why: string, options?: ErrorOptions): Rejection {
  return new Rejection(why, options)
}

/**
 * `throw unavailable('the mail service is down')` in a handler retries the event after `retryAfterMs` (default: the
 * group's `backoff.minMs`) without charging an attempt; until then this process reads nothing more for the group.
 */
export function unavailable(why: string, options: ErrorOptions & { retryAfterMs?: number } = {}): Unavailability {
  return new Unavailability(why, options.retryAfterMs, options)
}
