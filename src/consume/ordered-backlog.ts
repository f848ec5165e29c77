/** What a partition has read and not finished: known by id, and queued by key. */

import type { GroupDefinition } from '../group-definition.ts'
import { type CloudEvent, eventFromFields } from '../streams/entry.ts'
import type { GroupAddress } from '../streams/groups.ts'
import type { Lease } from '../streams/leases.ts'
import { type OrderedEntry, pendingPage } from '../streams/ordered-entries.ts'
import { type Side, sides } from '../streams/pending.ts'
import type { OrderedCalls, Settled } from './ordered-calls.ts'
import { KeyQueues } from './ordered-queues.ts'

const PAGE = 100

export type Queued = OrderedEntry & { key: string }

export interface BacklogOptions {
  definition: GroupDefinition
  /** What keeps its order. */
  keyOf: (event: CloudEvent) => string | undefined
  calls: OrderedCalls
  /** Redis milliseconds now. */
  now: () => number
}

export class Backlog {
  readonly #options: BacklogOptions
  readonly #known = new Map<string, OrderedEntry>()
  readonly queues = new KeyQueues<Queued>()

  constructor(options: BacklogOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#known.size
  }

  has(side: Side, id: string): boolean {
    return this.#known.has(nameOf({ side, id }))
  }

  /** Puts a new entry into the queue of its key, or settles it where no handler is to see it. */
  admit(entry: OrderedEntry): void {
    const { definition, calls } = this.#options
    if (this.#known.has(nameOf(entry))) return
    this.#known.set(nameOf(entry), entry)
    const event = eventFromFields(entry.fields)
    const forget = () => void this.#known.delete(nameOf(entry))
    if (event.id === '' || event.type === '') void calls.bury(entry, 'undecodable').then(forget)
    else if (definition.types !== undefined && !definition.types.has(event.type)) void calls.skip(entry).then(forget)
    else this.#queue(entry, event)
  }

  /** Admits everything that is pending, in the order of its ids. False: the lease is lost. */
  async load(at: GroupAddress, lease: Lease): Promise<boolean> {
    for (const side of sides) {
      let from: string | undefined = '-'
      while (from !== undefined) {
        const page = await pendingPage(at, lease, { side, from, limit: PAGE })
        if (page === undefined) return false
        for (const entry of page.entries) this.admit(entry)
        from = page.next
      }
    }
    return true
  }

  /** What became of a taken head. An unsettled one stays taken: the partition is about to end. */
  settled(entry: Queued, settled: Settled): void {
    if (settled === 'unsettled') return
    if (settled === 'done') {
      this.#known.delete(nameOf(entry))
      this.queues.done(entry)
    } else this.queues.delay(entry, this.#monotonic(settled.dueAt))
  }

  #queue(entry: OrderedEntry, event: CloudEvent): void {
    const { keyOf, now } = this.#options
    const queued: Queued = Object.assign(entry, { key: String(keyOf(event) ?? '') })
    const isHead = !this.queues.has(queued.key)
    this.queues.add(queued)
    const dueAt = entry.held?.dueAt ?? 0
    if (isHead && dueAt > now()) this.queues.delay(queued, this.#monotonic(dueAt))
  }

  #monotonic(redisMs: number): number {
    return performance.now() + Math.max(0, redisMs - this.#options.now())
  }
}

/** How `held` and the lease name an entry. */
export function nameOf({ side, id }: Pick<OrderedEntry, 'side' | 'id'>): string {
  return `${side}:${id}`
}
