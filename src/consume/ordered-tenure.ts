/**
 * The lease of one partition as its owner knows it: how fresh it is, what the last renewal told, and its end. It ends
 * when Redis says so, or when it was not renewed in time; the clock of this process is only ever early.
 */
import type { GroupAddress } from '../streams/groups.ts'
import { type Lease, type Renewal, renewLease } from '../streams/leases.ts'
import type { Call } from './call.ts'
import { TakenOver, unavailable } from './outcomes.ts'

export interface TenureOptions {
  at: GroupAddress
  lease: Lease
  leaseMs: number
  /** Monotonic milliseconds when the lease was asked for. */
  claimedAt: number
  /** The lease is lost; called once. */
  onLost: (reason: TakenOver) => void
}

export class Tenure {
  readonly #options: TenureOptions
  readonly #end = new AbortController()
  #renewal?: Renewal
  #renewedAt: number
  #expiry?: NodeJS.Timeout
  #lost = false

  constructor(options: TenureOptions) {
    this.#options = options
    this.#renewedAt = options.claimedAt
    this.#watchExpiry()
  }

  get lost(): boolean {
    return this.#lost
  }

  /** Aborts when the partition is lost or to be left. */
  get signal(): AbortSignal {
    return this.#end.signal
  }

  /** What the last renewal told; undefined before the first. */
  get renewal(): Renewal | undefined {
    return this.#renewal
  }

  /** Recent enough to begin something under it. */
  get fresh(): boolean {
    return !this.#lost && performance.now() - this.#renewedAt < this.#options.leaseMs / 2
  }

  /** Resolves also when the lease is lost; rejects when Redis does not answer. */
  async renew(): Promise<void> {
    const { at, lease, leaseMs } = this.#options
    const sentAt = performance.now()
    const renewal = await renewLease(at, lease, leaseMs)
    if (this.#lost) return
    if (renewal === undefined) return this.lose()
    this.#renewal = renewal
    this.#renewedAt = sentAt
    this.#watchExpiry()
  }

  /** Rejects with TakenOver when the process may not act for the event any more; asks Redis unless that is certain. */
  async assertOwned(call: Call): Promise<void> {
    if (!call.lost && !call.ended && !this.fresh && !this.#lost) {
      await this.renew().catch((cause) => {
        throw unavailable('Redis does not say whether the partition is still ours', { cause })
      })
    }
    if (call.lost || call.ended || this.#lost)
      throw new TakenOver('this process may not publish for the entry any more')
  }

  /** The partition is to be given back. */
  leave(): void {
    this.#end.abort(new Error('the partition goes to another process'))
  }

  lose(): void {
    if (this.#lost) return
    this.#lost = true
    const reason = new TakenOver('the partition belongs to another process now')
    this.#end.abort(reason)
    this.close()
    this.#options.onLost(reason)
  }

  /** Watches the clock no more. */
  close(): void {
    clearTimeout(this.#expiry)
  }

  #watchExpiry(): void {
    clearTimeout(this.#expiry)
    const leftMs = this.#renewedAt + this.#options.leaseMs - performance.now()
    this.#expiry = setTimeout(() => this.lose(), Math.max(0, leftMs))
  }
}
