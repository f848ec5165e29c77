/**
 * One gate for all handlers of a process: many ordinary ones may be inside together, or one round of suspects alone.
 *
 * Open: ordinary handlers enter. Closed: none may enter; when the last one has left, the suspects run; then it opens.
 * Time spent closed is a debt: a process that was closed for a whole turn stays open as long before it closes again, so
 * that neither kind of work starves the other.
 *
 * Known gap: a round begins when the slowest handler inside has ended, so after a crash a process may start nothing for
 * up to one handlerTimeoutMs. Other processes go on; running beside a suspect would cost the innocent a crash.
 */
import { setTimeout as delay } from 'node:timers/promises'

export class Gate {
  #inside = 0
  #closed = false
  #drained?: () => void
  #lastTurn: Promise<void> = Promise.resolve()
  #debtMs = 0
  #openSince = performance.now()
  readonly #listeners = new Set<() => void>()

  get open(): boolean {
    return !this.#closed
  }

  /** Calls the listener whenever the gate opens; returns how to stop that. */
  onOpen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** False: closed, the handler may not start now. True: it is inside and must `leave`. */
  tryEnter(): boolean {
    if (this.#closed) return false
    this.#inside += 1
    return true
  }

  leave(): void {
    this.#inside -= 1
    if (this.#inside === 0) this.#drained?.()
  }

  /**
   * Runs `round` while no ordinary handler is inside; one round at a time, in the order they asked.
   * `turnMs` is how much debt lets the next round begin at once. The signal ends the wait for the debt only.
   */
  async alone<T>(turnMs: number, signal: AbortSignal, round: () => Promise<T>): Promise<T> {
    const before = this.#lastTurn
    const { promise, resolve: endTurn } = Promise.withResolvers<void>()
    this.#lastTurn = promise
    await before
    try {
      await this.#payDebt(turnMs, signal)
      const closedAt = this.#close()
      if (this.#inside > 0) await this.#emptied()
      try {
        return await round()
      } finally {
        this.#open(closedAt)
      }
    } finally {
      endTurn()
    }
  }

  async #payDebt(turnMs: number, signal: AbortSignal): Promise<void> {
    const owed = this.#debtMs - (performance.now() - this.#openSince)
    if (this.#debtMs < turnMs || owed <= 0) return
    await delay(owed, undefined, { signal }).catch(() => undefined)
  }

  #close(): number {
    const now = performance.now()
    this.#debtMs = Math.max(0, this.#debtMs - (now - this.#openSince))
    this.#closed = true
    return now
  }

  #open(closedAt: number): void {
    this.#openSince = performance.now()
    this.#debtMs += this.#openSince - closedAt
    this.#closed = false
    for (const listener of this.#listeners) listener()
  }

  #emptied(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained = () => {
        this.#drained = undefined
        resolve()
      }
    })
  }
}
