/**
 * Acknowledgements of one partition, in batches. A key goes on only after its ack is confirmed, so that a redelivery
 * repeats the last event of a key and never steps back further.
 */

import type { Log } from '../log.ts'
import type { GroupAddress } from '../streams/groups.ts'
import type { Lease } from '../streams/leases.ts'
import { acknowledgeOwned } from '../streams/ordered-entries.ts'
import { ACK_LIMIT, type Side } from '../streams/pending.ts'

const RETRY_MS = 100

interface Waiting {
  entry: { side: Side; id: string }
  resolve: (acked: boolean) => void
}

export class OrderedAcks {
  readonly #at: GroupAddress
  readonly #lease: Lease
  readonly #log: Log
  #queue: Waiting[] = []
  #sending = false
  #closed = false

  constructor(at: GroupAddress, lease: Lease, log: Log) {
    this.#at = at
    this.#lease = lease
    this.#log = log
  }

  /** True when Redis has taken the ack; false when the lease is lost, or Redis did not answer before `close`. */
  add(entry: Waiting['entry']): Promise<boolean> {
    return new Promise((resolve) => {
      this.#queue.push({ entry, resolve })
      if (this.#sending) return
      this.#sending = true
      void this.#send()
    })
  }

  /** Gives up what is not confirmed. */
  close(): void {
    this.#closed = true
  }

  async #send(): Promise<void> {
    // The handlers of one batch end in the microtasks before this: they share one ack.
    await new Promise(setImmediate)
    let failing = false
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, ACK_LIMIT)
      const entries = batch.map(({ entry }) => entry)
      try {
        const acked = this.#closed ? undefined : await acknowledgeOwned(this.#at, this.#lease, entries)
        failing = false
        for (const { resolve } of batch) resolve(acked !== undefined)
      } catch (err) {
        if (!failing) this.#log.warn({ err, group: this.#at.group }, 'Acks are not confirmed; sending them again')
        failing = true
        this.#queue.unshift(...batch)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
    this.#sending = false
  }
}
