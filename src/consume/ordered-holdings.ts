/**
 * The partitions of an ordered group that this process owns, and how it comes to them.
 *
 * It gives back what is above its fair share (after what runs there has finished) and takes what is free until it has its
 * share. A lease that has run out is taken over only after staleAfterMs of uninterrupted sight, as by the reaper: after an
 * outage of Redis all leases look old, and their owners shall have them back.
 */

import type { GroupDefinition } from '../group-definition.ts'
import type { Log } from '../log.ts'
import { ensureGroup, type GroupAddress } from '../streams/groups.ts'
import { claimLease, type OrderedPulse, releaseLease } from '../streams/leases.ts'
import type { Handler } from '../topology-options.ts'
import { OrderedPartition, type OrderedPartitionOptions } from './ordered-partition.ts'
import { fairShare } from './ordered-share.ts'
import { Sight } from './sight.ts'

type Shared = Omit<
  OrderedPartitionOptions,
  'at' | 'lease' | 'inDoubt' | 'claimedAt' | 'partition' | 'handler' | 'onLost' | 'repair'
>

export interface OrderedHoldingsOptions {
  /** Of the physical streams, in their order. */
  partitions: readonly GroupAddress[]
  definition: GroupDefinition
  consumer: string
  handlerOf: (partition: number) => Handler
  log: Log
  /** What every partition works with. */
  shared: Shared
  /** A partition was given back or lost: the shares are to be looked at again. */
  onLeft: () => void
}

export class OrderedHoldings {
  readonly #options: OrderedHoldingsOptions
  readonly #owned = new Map<number, OrderedPartition>()
  /** Partitions that were lost while handlers ran, until these have returned. */
  readonly #ending = new Set<number>()
  /** Taken, and not logged yet. */
  #taken: number[] = []
  /** Of the servers the partitions are on. */
  readonly #sight: Sight
  #lastPulse?: number
  /** Redis milliseconds; undefined: sight was lost, and the next heartbeat begins anew. */
  #sightSince?: number
  #stopping = false

  constructor(options: OrderedHoldingsOptions) {
    this.#options = options
    this.#sight = new Sight(options.partitions.map(({ redis }) => redis))
  }

  /** Those it owns, which may be on their way out. */
  get all(): OrderedPartition[] {
    return Array.from(this.#owned.values())
  }

  get numbers(): number[] {
    return Array.from(this.#owned.keys())
  }

  /** The connection broke: what others did meanwhile is not known. */
  loseSight(): void {
    this.#sightSince = undefined
  }

  /** Takes and gives back nothing more. */
  stop(): void {
    this.#stopping = true
    this.#sight.stop()
  }

  /** Moves towards the fair share. Rejects when Redis does not answer. */
  async balance(pulse: OrderedPulse): Promise<void> {
    const { partitions, consumer, definition } = this.#options
    const gapMs = pulse.now - (this.#lastPulse ?? 0)
    if (this.#sightSince === undefined || gapMs > definition.staleAfterMs / 2) this.#sightSince = pulse.now
    this.#lastPulse = pulse.now
    this.#sight.look(pulse.now)
    if (this.#stopping) return
    const share = fairShare(partitions.length, pulse.living, consumer)
    const kept = () => Array.from(this.#owned).filter(([, partition]) => !partition.draining)
    const fewestFirst = kept().sort(([, a], [, b]) => a.size - b.size)
    for (const [index, partition] of fewestFirst.slice(0, Math.max(0, fewestFirst.length - share)))
      void this.#giveBack(index, partition)
    const mayTakeOver = pulse.now - this.#sightSince >= definition.staleAfterMs
    let failure: unknown
    // Everyone begins to look elsewhere, so that they do not all ask for the same one.
    const first = Math.max(0, pulse.living.indexOf(consumer)) * share
    for (let n = 0; n < partitions.length && kept().length < share && !this.#stopping; n += 1) {
      const index = (first + n) % partitions.length
      const { redis } = partitions[index] as GroupAddress
      if (this.#owned.has(index) || this.#ending.has(index) || redis.status !== 'ready') continue
      const inSight = mayTakeOver && this.#sight.has(redis, definition.staleAfterMs, pulse.now)
      await this.#claim(index, inSight).catch((error: unknown) => {
        failure ??= error
      })
    }
    this.#tellTaken()
    if (failure !== undefined) throw failure
  }

  #tellTaken(): void {
    const { definition, log } = this.#options
    if (this.#taken.length === 0) return
    log.info({ stream: definition.stream, group: definition.name, partitions: this.#taken }, 'Partitions taken')
    this.#taken = []
  }

  async #claim(index: number, mayTakeOver: boolean): Promise<void> {
    const { partitions, definition, consumer, log } = this.#options
    const at = partitions[index] as GroupAddress
    const claimedAt = performance.now()
    await this.#ensureGroup(at)
    const claimed = await claimLease(at, consumer, { leaseMs: definition.staleAfterMs, mayTakeOver })
    if (claimed === undefined) return
    const about = { stream: definition.stream, group: definition.name, partition: index }
    if (claimed.inDoubt) log.warn(about, 'Partition taken over from a process that vanished')
    else this.#taken.push(index)
    const partition = new OrderedPartition({
      ...this.#options.shared,
      ...claimed,
      at,
      partition: index,
      handler: this.#options.handlerOf(index),
      claimedAt,
      onLost: () => this.#onLost(index, partition),
      repair: () => this.#ensureGroup(at)
    })
    this.#owned.set(index, partition)
    void partition.load()
  }

  async #ensureGroup(at: GroupAddress): Promise<void> {
    const { definition, log } = this.#options
    const outcome = await ensureGroup(at, definition.from)
    if (outcome !== 'recreated') return
    log.warn({ stream: at.keys.stream, group: at.group }, 'The group had vanished; it starts again at the first entry')
  }

  async #giveBack(index: number, partition: OrderedPartition): Promise<void> {
    const { definition, log } = this.#options
    await partition.drain()
    if (this.#stopping || this.#owned.get(index) !== partition) return
    const about = { stream: definition.stream, group: definition.name, partition: index }
    try {
      await releaseLease(partition.at, partition.lease)
      log.info(about, 'Partition given back')
    } catch (err) {
      log.warn({ ...about, err }, 'A lease could not be given back; others take it when it runs out')
    }
    partition.close()
    this.#owned.delete(index)
    this.#options.onLeft()
  }

  #onLost(index: number, partition: OrderedPartition): void {
    const { definition, log } = this.#options
    log.warn(
      { stream: definition.stream, group: definition.name, partition: index },
      'The lease of a partition is lost'
    )
    if (this.#owned.get(index) !== partition) return
    this.#owned.delete(index)
    this.#ending.add(index)
    void partition.handlersReturned(definition.handlerTimeoutMs).then(() => {
      this.#ending.delete(index)
      this.#options.onLeft()
    })
  }
}
