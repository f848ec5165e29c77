/**
 * An ordered group in one process: it beats for the group as a whole, which tells who shares the partitions, renews the
 * leases of those it owns (ordered-holdings.ts), reads where something is missing, and hands out the handler slots.
 */

import type { GroupDefinition } from '../group-definition.ts'
import type { Log } from '../log.ts'
import type { CloudEvent } from '../streams/entry.ts'
import type { GroupAddress } from '../streams/groups.ts'
import { type OrderedPulse, orderedBeat, releaseLease } from '../streams/leases.ts'
import type { Handler } from '../topology-options.ts'
import type { CallEnvironment } from './call.ts'
import { Circuit } from './circuit.ts'
import type { Gate } from './gate.ts'
import { OrderedHoldings } from './ordered-holdings.ts'
import type { OrderedPartition } from './ordered-partition.ts'
import { OrderedTail, type OrderedTailOptions } from './ordered-tail.ts'
import { RateLimit } from './rate-limit.ts'
import { Wake } from './wake.ts'

const MAX_TICK_MS = 500
const RETRY_MS = 100
/** How long a partition whose server does not answer may keep the others from being read. */
const READ_MS = 250
/** After the grace, how long acks and failures may take to reach Redis. */
const SETTLE_MS = 2_000

export interface OrderedWorkerOptions {
  /** Of the partitioned stream's own name, which holds no entries. */
  at: GroupAddress
  /** Of the physical streams, in their order. */
  partitions: readonly GroupAddress[]
  definition: GroupDefinition
  handlerOf: (partition: number) => Handler
  keyOf: (event: CloudEvent) => string | undefined
  consumer: string
  tail: OrderedTailOptions
  gate: Gate
  environment: Omit<CallEnvironment, 'assertOwned'>
  log: Log
}

export class OrderedWorker {
  readonly #options: OrderedWorkerOptions
  readonly #holdings: OrderedHoldings
  readonly #circuit = new Circuit()
  readonly #rate: RateLimit
  readonly #tail: OrderedTail
  readonly #tick = new Wake()
  readonly #work = new Wake()
  readonly #stopListening: () => void
  readonly #lostSight = () => this.#holdings.loseSight()
  #pulse?: OrderedPulse
  /** Monotonic milliseconds when the last heartbeat that arrived was sent. */
  #sentAt = Number.NEGATIVE_INFINITY
  /** Redis milliseconds minus monotonic milliseconds. */
  #offset = 0
  #loops?: [Promise<void>, Promise<void>]
  #balancing?: Promise<void>
  #alarm?: NodeJS.Timeout
  /** Partitions whose streams are being waited on. */
  #watched = new Set<OrderedPartition>()
  #turn = 0
  #stopping = false
  #failing = false
  #stopped?: Promise<void>

  constructor(options: OrderedWorkerOptions) {
    this.#options = options
    const { ratePerSecond } = options.definition
    this.#rate = new RateLimit({ at: options.at, ratePerSecond, onTokens: () => this.#onChange() })
    this.#holdings = new OrderedHoldings({
      ...options,
      shared: {
        ...options,
        circuit: this.#circuit,
        rate: this.#rate,
        now: () => Math.round(performance.now() + this.#offset),
        mayRun: () => this.#mayRun(),
        onChange: () => this.#onChange()
      },
      onLeft: () => this.#tick.notify()
    })
    this.#tail = new OrderedTail(options.tail)
    this.#stopListening = options.gate.onOpen(() => this.#onChange())
  }

  get consumer(): string {
    return this.#options.consumer
  }

  get definition(): GroupDefinition {
    return this.#options.definition
  }

  /** Entries this process is responsible for. */
  get inFlight(): number {
    return this.#holdings.all.reduce((sum, partition) => sum + partition.size, 0)
  }

  /** The partitions it owns. */
  get partitions(): number[] {
    return this.#holdings.numbers
  }

  /** Begins to consume, at once or as soon as Redis can be reached. */
  start(): void {
    if (this.#loops !== undefined) return
    this.#options.at.redis.on('close', this.#lostSight)
    this.#loops = [this.#beat(), this.#read()]
  }

  /** Reads nothing more, lets handlers finish for `graceMs`, aborts the rest, gives the leases back, and goes. */
  stop(graceMs: number): Promise<void> {
    this.#stopped ??= this.#stop(graceMs)
    return this.#stopped
  }

  async #stop(graceMs: number): Promise<void> {
    const { at, consumer, log, definition } = this.#options
    this.#stopping = true
    this.#holdings.stop()
    const owned = this.#holdings.all
    const abandon = () => {
      for (const partition of owned) partition.abandon(new Error('the process shuts down'))
    }
    const close = () => {
      for (const partition of this.#holdings.all) partition.close()
    }
    const graceEnds = setTimeout(abandon, graceMs)
    const settleEnds = setTimeout(close, graceMs + SETTLE_MS)
    const drained = Promise.all(owned.map((partition) => partition.drain()))
    this.#work.notify()
    this.#tail.stop()
    await this.#loops?.[1]
    await drained
    clearTimeout(graceEnds)
    clearTimeout(settleEnds)
    clearTimeout(this.#alarm)
    this.#tick.notify()
    await this.#loops?.[0]
    this.#stopListening()
    at.redis.off('close', this.#lostSight)
    close()
    await this.#rate.stop()
    try {
      await Promise.all(this.#holdings.all.map(({ at, lease }) => releaseLease(at, lease)))
      await at.redis.zrem(at.keys.group(at.group).live, consumer)
    } catch (err) {
      log.warn({ err, group: definition.name }, 'Leases could not be given back; others take them when they run out')
    }
  }

  get #tickMs(): number {
    return Math.min(MAX_TICK_MS, this.#options.definition.staleAfterMs / 4)
  }

  async #beat(): Promise<void> {
    const { log, definition } = this.#options
    const draining = () => this.#holdings.all.some(({ idle }) => !idle)
    // Leases are kept until the last handler has ended.
    while (!this.#stopping || draining()) {
      let waitMs = RETRY_MS
      try {
        await this.runOnce()
        this.#failing = false
        waitMs = this.#tickMs
      } catch (err) {
        if (!this.#failing) log.warn({ err, group: definition.name }, 'A heartbeat did not arrive')
        this.#failing = true
      }
      await this.#tick.wait(this.#stopping ? Math.min(waitMs, RETRY_MS) : waitMs)
    }
  }

  /** One heartbeat: renews the leases, gives back what is too much and takes what is free. */
  async runOnce(): Promise<void> {
    const { at, definition, consumer } = this.#options
    const sentAt = performance.now()
    const pulse = await orderedBeat(at, consumer, definition.staleAfterMs)
    this.#pulse = pulse
    this.#sentAt = sentAt
    this.#offset = pulse.now - performance.now()
    // A partition whose server does not answer must not keep the others waiting. Its lease runs out.
    await within(this.#tickMs, Promise.allSettled(this.#holdings.all.map((partition) => partition.renew())))
    this.#balancing ??= this.#holdings.balance(pulse).finally(() => {
      this.#balancing = undefined
    })
    await within(this.#tickMs, this.#balancing)
    this.#onChange()
  }

  /** Not stopping or paused, and alive as far as the others can see. */
  #mayRun(): boolean {
    const ageMs = performance.now() - this.#sentAt
    return !this.#stopping && this.#pulse?.paused === false && ageMs < this.#options.definition.staleAfterMs / 2
  }

  #slots(): number {
    const occupied = this.#holdings.all.reduce((sum, partition) => sum + partition.occupied, 0)
    return this.#circuit.allowance(this.#options.definition.concurrency) - occupied
  }

  /** Starts what may start, and reads where something is missing. */
  #onChange(): void {
    clearTimeout(this.#alarm)
    const now = performance.now()
    let next = now + MAX_TICK_MS
    for (const partition of this.#inTurn()) next = Math.min(next, partition.start(this.#slots()))
    if (this.#stopping) return
    // A circuit that opens again is looked at with the next tick.
    this.#alarm = setTimeout(() => this.#onChange(), Math.max(1, next - now))
    if (this.#wanting().some((partition) => !this.#watched.has(partition))) {
      this.#work.notify()
      this.#tail.interrupt()
    }
  }

  /** The partitions take turns in being the first to get free slots. */
  #inTurn(): OrderedPartition[] {
    const all = this.#holdings.all
    this.#turn = (this.#turn + 1) % Math.max(1, all.length)
    return [...all.slice(this.#turn), ...all.slice(0, this.#turn)]
  }

  #wanting(): OrderedPartition[] {
    return this.#holdings.all.filter((partition) => partition.wantsMore)
  }

  async #read(): Promise<void> {
    const { group } = this.#options.at
    while (!this.#stopping) {
      const wanting = this.#wanting()
      const brought = await within(READ_MS, Promise.all(wanting.map((partition) => partition.read())))
      this.#onChange()
      // One that is still being read wants nothing more: the next round is without it.
      if (this.#stopping || brought === undefined || brought.includes(true)) continue
      this.#watched = new Set(wanting)
      const after = wanting.flatMap(({ at: { keys }, cursors: [stream, requeue] }) => [
        [keys.stream, stream] as const,
        [keys.group(group).requeue, requeue] as const
      ])
      await (after.length > 0 ? this.#tail.wait(after) : this.#work.wait(MAX_TICK_MS)).catch(() => pause(RETRY_MS))
      this.#watched = new Set()
    }
  }
}

/** What it resolves with, or undefined when it takes longer. */
async function within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
