/**
 * What a partition has read and not finished, one queue per key. The head of a queue may be ready, taken (somebody is at
 * it) or delayed; what is behind it waits. Keys are served in turn.
 */
export class KeyQueues<E extends { key: string }> {
  readonly #queues = new Map<string, E[]>()
  /** Keys whose head may be taken, in the order in which that came to be. */
  readonly #ready = new Set<string>()
  /** Keys whose head is delayed, with the monotonic milliseconds until when. */
  readonly #delayed = new Map<string, number>()
  #size = 0

  /** Entries in all queues, those that are taken included. */
  get size(): number {
    return this.#size
  }

  /** Heads that may be taken. */
  get ready(): number {
    return this.#ready.size
  }

  has(key: string): boolean {
    return this.#queues.has(key)
  }

  /** The first entry of every key that is not delayed. */
  heads(): E[] {
    return Array.from(this.#ready, (key) => this.#queues.get(key)?.[0]).filter((head) => head !== undefined)
  }

  add(entry: E): void {
    this.#size += 1
    const queue = this.#queues.get(entry.key)
    if (queue !== undefined) {
      queue.push(entry)
      return
    }
    this.#queues.set(entry.key, [entry])
    this.#ready.add(entry.key)
  }

  /** The head of the next ready key, if any; its key is not ready until `done` or `delay`. */
  take(): E | undefined {
    for (const key of this.#ready) {
      this.#ready.delete(key)
      return this.#queues.get(key)?.[0]
    }
    return undefined
  }

  /** Takes this head. */
  begin(entry: E): void {
    this.#ready.delete(entry.key)
  }

  /** A taken head is finished; its key goes on. */
  done(entry: E): void {
    const queue = this.#queues.get(entry.key)
    if (queue?.[0] !== entry) return
    queue.shift()
    this.#size -= 1
    this.#delayed.delete(entry.key)
    if (queue.length > 0) this.#ready.add(entry.key)
    else this.#queues.delete(entry.key)
  }

  /** A head, taken or ready, must wait until then; with it its key. */
  delay(entry: E, until: number): void {
    this.#ready.delete(entry.key)
    this.#delayed.set(entry.key, until)
  }

  /** Makes ready what is due; returns when the next one is, Infinity for none. */
  wake(now: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const [key, until] of this.#delayed) {
      if (until <= now) {
        this.#delayed.delete(key)
        this.#ready.add(key)
      } else next = Math.min(next, until)
    }
    return next
  }
}
