/**
 * Acknowledgements of one group, sent in batches: whatever was handled while one batch was on its way is the next.
 * An ack whose answer is lost is sent again: it is idempotent, and until it is confirmed the entry counts as ours.
 */

import type { Log } from '../log.ts'
import type { GroupAddress } from '../streams/groups.ts'
import { ACK_LIMIT, acknowledge } from '../streams/pending.ts'
import type { Call } from './call.ts'

const RETRY_MS = 100

export class Acks {
  readonly #at: GroupAddress
  readonly #log: Log
  readonly #onAcked: (call: Call) => void
  #queue: Call[] = []
  #sending?: Promise<void>
  #closed = false

  constructor(options: { at: GroupAddress; log: Log; onAcked: (call: Call) => void }) {
    this.#at = options.at
    this.#log = options.log
    this.#onAcked = options.onAcked
  }

  add(call: Call): void {
    this.#queue.push(call)
    this.#sending ??= this.#send()
  }

  /** Resolves when everything added so far is confirmed, or given up because Redis does not answer within `withinMs`. */
  async close(withinMs: number): Promise<void> {
    const timer = setTimeout(() => {
      this.#closed = true
    }, withinMs)
    await this.#sending
    clearTimeout(timer)
  }

  async #send(): Promise<void> {
    // The handlers of one batch end in the microtasks before this: they share one ack.
    await new Promise(setImmediate)
    let failing = false
    while (this.#queue.length > 0 && !this.#closed) {
      const batch = this.#queue.splice(0, ACK_LIMIT)
      try {
        const ids = (side: Call['side']) => batch.filter((call) => call.side === side).map((call) => call.id)
        await acknowledge(this.#at, ids('stream'), ids('requeue'))
        failing = false
        for (const call of batch) this.#onAcked(call)
      } catch (err) {
        if (!failing) this.#log.warn({ err, group: this.#at.group }, 'Acks are not confirmed; sending them again')
        failing = true
        this.#queue.unshift(...batch)
        for (const call of batch) call.onDone?.()
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
    this.#sending = undefined
  }
}
