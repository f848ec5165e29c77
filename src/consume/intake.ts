/**
 * The intake of one group in one process: brings in entries while there are free slots, and starts their handlers.
 *
 * Entries come by three ways: read (`>`), taken (a process handed them over), and found (delivered to us in an answer that
 * never arrived; Redis holds them for us and we do not know them). Found ones are looked for after every broken read and
 * once per staleAfterMs, and never while a read or a take is under way: then an unknown entry would only be one whose
 * answer is still coming.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { GroupDefinition } from '../group-definition.ts'
import type { Log } from '../log.ts'
import type { GroupAddress } from '../streams/groups.ts'
import { idsHeldBy, type PendingEntry, pools, reassign, sides } from '../streams/pending.ts'
import { redisFailure } from '../streams/redis-errors.ts'
import { Call } from './call.ts'
import type { Gate } from './gate.ts'
import type { InFlight } from './in-flight.ts'
import type { RateLimit } from './rate-limit.ts'
import { Reader } from './reader.ts'
import { Wake } from './wake.ts'

const RETRY_MS = 100
/** Between two reads that found no backlog: what trickles in is read together, and each read is a write to Redis's disk. */
const GATHER_MS = 1

/** What may be brought in now. */
export interface Allowance {
  /** Handlers that may start, beside those that run; 0 = nothing. */
  slots: number
  /** The group has too much parked: only what is parked may be read. */
  requeueOnly: boolean
  /** A process handed entries over. */
  handedOver: boolean
}

export interface IntakeOptions {
  at: GroupAddress
  definition: GroupDefinition
  consumer: string
  /** A connection nobody else uses. */
  connection: Redis
  gate: Gate
  inFlight: InFlight
  rate: RateLimit
  log: Log
  allowance: () => Allowance
  /** One more handler may start: a slot is free, and the group is neither paused nor broken nor out of our hands. */
  mayStart: () => boolean
  /** The group is gone. */
  repair: () => Promise<void>
}

export class Intake {
  readonly #options: IntakeOptions
  readonly #reader: Reader
  readonly #wake = new Wake()
  /** Brought in, and no slot, no token or the gate closed. Nothing more is read while there are any. */
  #waiting: Call[] = []
  #loop?: Promise<void>
  #stopping = false
  #failing = false
  #taking: Promise<void> = Promise.resolve()
  /** Monotonic milliseconds of the last search for entries we hold and do not know. */
  #searchedAt = Number.NEGATIVE_INFINITY

  constructor(options: IntakeOptions) {
    const { at, consumer, connection } = options
    this.#options = options
    this.#reader = new Reader({ at, consumer, connection, onReady: () => this.#onReady() })
  }

  start(): void {
    this.#reader.start()
    this.#loop ??= this.#run()
  }

  /** Something changed that may let it go on: a slot, a token, the gate, a heartbeat. */
  notify(): void {
    this.#wake.notify()
  }

  /** Others may have taken what this process held: what was not started is forgotten, and looked for again. */
  doubt(): void {
    for (const call of this.#waiting.splice(0)) this.#options.inFlight.release(call)
    this.#searchedAt = Number.NEGATIVE_INFINITY
    this.#wake.notify()
  }

  /** A heartbeat says that entries were handed over; the loop itself may be blocked in a read. */
  takeHandedOver(): void {
    if (this.#reader.reading) void this.#take().catch(() => undefined)
  }

  /** The group is paused: ends the blocked read, which would bring in one more event. */
  interrupt(): void {
    this.#reader.interrupt()
  }

  /** Resolves when nothing more will be brought in or started. What waits stays pending. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#wake.notify()
    await this.#reader.stop(this.#loop)
    await this.#taking
  }

  #onReady(): void {
    this.#searchedAt = Number.NEGATIVE_INFINITY
    this.#wake.notify()
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      try {
        if (!(await this.#step())) await this.#wake.wait()
        this.#failing = false
      } catch (error) {
        await this.#recover(error)
      }
    }
  }

  /** Reads once; false when nothing may be read until something changes. */
  async #step(): Promise<boolean> {
    const { definition, gate, allowance } = this.#options
    if (!this.#reader.ready) return false
    if (performance.now() - this.#searchedAt > definition.staleAfterMs) await this.#search()
    this.#startWaiting()
    if (this.#waiting.length > 0) this.#options.rate.want(this.#waiting.length)
    if (this.#waiting.length > 0 || !gate.open) return false
    if (allowance().handedOver) await this.#take()
    const { slots, requeueOnly } = allowance()
    if (slots < 1 || this.#waiting.length > 0) return false
    let entries = await this.#reader.read(slots, requeueOnly)
    while (entries.length > 0) {
      const ahead = this.#readAhead(entries.length)
      // What either brings is found again when the other fails.
      const [placed, read] = await Promise.allSettled([this.#place(entries), ahead])
      if (placed.status === 'rejected') throw placed.reason
      if (read.status === 'rejected') throw read.reason
      entries = read.value
    }
    if (slots > 1 && !this.#reader.backlog) await delay(GATHER_MS)
    return true
  }

  /**
   * While there is a backlog, Redis prepares the next entries while these are handled; they get slots that neither what
   * runs nor these need. Resolves to none when it is the loop's turn to look around.
   */
  async #readAhead(arrived: number): Promise<PendingEntry[]> {
    const { gate, allowance, definition } = this.#options
    const { slots, requeueOnly, handedOver } = allowance()
    const free = slots - arrived
    if (!this.#reader.backlog || free < 2 || requeueOnly || handedOver || !gate.open || this.#stopping) return []
    if (this.#waiting.length > 0 || performance.now() - this.#searchedAt > definition.staleAfterMs) return []
    return this.#reader.read(free, false)
  }

  /** Starts what may start, sets aside what must wait, and gives suspects to their pool. */
  async #place(entries: PendingEntry[]): Promise<void> {
    const { inFlight, consumer, definition } = this.#options
    const suspects: Call[] = []
    for (const entry of entries) {
      const known = inFlight.find(entry.side, entry.id)
      if (known !== undefined) {
        // Its group was made anew and delivered it again. The call that runs settles this delivery too.
        known.lost = false
        continue
      }
      const call = new Call(entry, consumer)
      if (call.crashes > 0) suspects.push(call)
      else if (call.event.id === '' || call.event.type === '') inFlight.refuse(call)
      else if (definition.types !== undefined && !definition.types.has(call.event.type)) inFlight.skip(call)
      else if (!this.#startIfPossible(call)) {
        inFlight.hold(call)
        this.#waiting.push(call)
      }
    }
    for (const { side, id, crashes } of suspects) {
      const to = crashes > 1 ? pools.alone : pools.suspects
      await reassign(this.#options.at, { side, from: consumer, to, ids: [id] })
    }
  }

  #startIfPossible(call: Call): boolean {
    const { inFlight, gate, rate, mayStart } = this.#options
    if (this.#stopping || !mayStart() || !rate.allows || !gate.tryEnter()) return false
    rate.use()
    call.inGate = true
    inFlight.start(call)
    return true
  }

  #startWaiting(): void {
    if (this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const call of waiting) if (!this.#startIfPossible(call)) this.#waiting.push(call)
  }

  /** Takes entries that were handed over, as many as there are free slots; one take at a time. */
  #take(): Promise<void> {
    const take = async () => {
      const { at, consumer, gate, allowance } = this.#options
      for (const side of sides) {
        const { slots } = allowance()
        if (slots < 1 || !gate.open || this.#stopping) return
        await this.#place(await reassign(at, { side, from: pools.handedOver, to: consumer, limit: slots }))
      }
    }
    const taken = this.#taking.then(take)
    this.#taking = taken.catch(() => undefined)
    return taken
  }

  /** Looks for entries Redis holds for us that we do not know, and starts them like any other. Charges nothing. */
  async #search(): Promise<void> {
    const { at, consumer, inFlight, definition } = this.#options
    await this.#taking
    for (const side of sides) {
      const held = await idsHeldBy(at, side, consumer, inFlight.size + definition.concurrency)
      const ids = held.filter((id) => inFlight.find(side, id) === undefined)
      await this.#place(await reassign(at, { side, from: consumer, to: consumer, ids }))
    }
    this.#searchedAt = performance.now()
    await inFlight.reconcile()
  }

  async #recover(error: unknown): Promise<void> {
    const { log, definition, repair } = this.#options
    this.#searchedAt = Number.NEGATIVE_INFINITY
    // A stream deleted under a blocked read; the next read says NOGROUP.
    if (error instanceof Error && error.message.startsWith('UNBLOCKED')) return
    if (redisFailure(error) === 'missing-group') {
      const repaired = await repair().then(
        () => true,
        () => false
      )
      if (repaired) return
    }
    if (!this.#failing && !this.#stopping) {
      log.warn({ err: error, stream: definition.stream, group: definition.name }, 'Reading failed; trying again')
    }
    this.#failing = true
    if (!this.#stopping) await this.#wake.wait(RETRY_MS)
  }
}
