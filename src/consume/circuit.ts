/**
 * The circuit breaker of one group in one process.
 *
 * closed: reads as usual. open: a handler said `unavailable`; nothing is read until its time is over. probing: one event
 * at a time, until a handler succeeds (closed) or says `unavailable` again (open).
 */
export class Circuit {
  #openUntil = 0
  #broken = false

  /** Opens for `ms` more from now, or stays open longer if it was to. */
  trip(ms: number): void {
    this.#broken = true
    this.#openUntil = Math.max(this.#openUntil, performance.now() + ms)
  }

  /** A handler succeeded. One that began before the trip says nothing about now, so it closes a probing circuit only. */
  succeeded(): void {
    if (this.#broken && performance.now() >= this.#openUntil) this.#broken = false
  }

  /** How many of `slots` handlers may run now. */
  allowance(slots: number): number {
    if (!this.#broken) return slots
    return performance.now() < this.#openUntil ? 0 : 1
  }
}
