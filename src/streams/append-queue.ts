/**
 * The units that wait to be stored in one physical stream: within the budget, in the order they came, each until its
 * deadline.
 *
 * A unit is WAITING until a flight takes it, then IN FLIGHT until Redis answered, and is settled exactly once: by whoever
 * took it, or by its deadline. A unit whose deadline has passed stays with its flight, which goes on for the sake of the
 * others.
 */
import type { AppendTally } from './append-tally.ts'
import type { AppendUnit } from './flush.ts'
import type { AppendOutcome, Refusal, RefusalCode } from './outcomes.ts'
import { hasRoom, type QueueBudget } from './queue-budget.ts'

export interface Waiting {
  readonly unit: AppendUnit
  /** Monotonic milliseconds. */
  readonly expiresAt: number
  readonly settled: boolean
  /** Its flush was tried again after trimming made room: a second refusal is final. */
  retried: boolean
}

/** The units of one flush, until it is over. */
export interface Flight {
  units: readonly Waiting[]
  /** The command has left this process at least once, and may have run. */
  sent: boolean
}

interface Place extends Waiting {
  settled: boolean
  /** In UTF-16 units: close enough to bytes to bound memory. */
  size: number
  resolve: (outcome: AppendOutcome) => void
}

/** Of one script call: it keeps Redis busy for about 4 ms. More would delay everyone else, and cost more per event. */
const MAX_FLUSH_EVENTS = 500
const MAX_FLUSH_BYTES = 1_048_576

export class AppendQueue {
  readonly #budget: QueueBudget
  readonly #tally: AppendTally
  readonly #waitMs: number
  readonly #lateCode: (flight?: Flight) => RefusalCode
  /** By place, some of them empty. A Set would leave a trail of its outgrown tables, which keep what they held until a full GC. */
  readonly #flights: (Flight | undefined)[] = []
  #waiting: Place[] = []
  #waitingEvents = 0
  #events = 0
  #size = 0
  #deadline?: NodeJS.Timeout
  #drained: (() => void)[] = []

  /** `waitMs`: how long a unit waits; `lateCode`: what it is then refused with, in a flight or waiting for one. */
  constructor(options: {
    budget: QueueBudget
    tally: AppendTally
    waitMs: number
    lateCode: (flight?: Flight) => RefusalCode
  }) {
    this.#budget = options.budget
    this.#tally = options.tally
    this.#waitMs = options.waitMs
    this.#lateCode = options.lateCode
  }

  /** Events waiting and in flight. */
  get events(): number {
    return this.#events
  }

  /** Events that no flight has taken. */
  get waitingEvents(): number {
    return this.#waitingEvents
  }

  /** Resolves when the unit is settled; undefined: there is no room for it. */
  push(unit: AppendUnit): Promise<AppendOutcome> | undefined {
    const count = unit.events.length
    const size = this.#sizeOf(unit)
    const budget = this.#budget
    if (!hasRoom(budget, count, size, this.#events, this.#size)) return undefined
    budget.events += count
    budget.bytes += size
    this.#events += count
    this.#waitingEvents += count
    this.#size += size
    return new Promise((resolve) => {
      const expiresAt = performance.now() + this.#waitMs
      this.#waiting.push({ unit, size, expiresAt, retried: false, settled: false, resolve })
      if (this.#deadline === undefined) this.#watch(this.#waitMs)
    })
  }

  /** The units of the next flush: one at least, where any waits. */
  take(): Flight {
    let count = 0
    let size = 0
    let n = 0
    for (const place of this.#waiting) {
      const events = place.unit.events.length
      if (n > 0 && (count + events > MAX_FLUSH_EVENTS || size + place.size > MAX_FLUSH_BYTES)) break
      count += events
      size += place.size
      n += 1
    }
    const flight: Flight = { units: this.#waiting.splice(0, n), sent: false }
    this.#waitingEvents -= count
    const free = this.#flights.indexOf(undefined)
    this.#flights[free < 0 ? this.#flights.length : free] = flight
    return flight
  }

  /** Puts units of a flight in front of all others. */
  putBack(units: readonly Waiting[]): void {
    if (units.length === 0) return
    this.#waiting = (units as Place[]).concat(this.#waiting)
    for (const { unit } of units) this.#waitingEvents += unit.events.length
  }

  /** The flight is over. */
  landed(flight: Flight): void {
    this.#flights[this.#flights.indexOf(flight)] = undefined
  }

  /** Resolves when everything pushed so far is settled. */
  drain(): Promise<void> {
    return this.#events === 0 ? Promise.resolve() : new Promise((resolve) => this.#drained.push(resolve))
  }

  /** Does nothing for a unit that is settled already. */
  settle(waiting: Waiting, outcome: AppendOutcome): void {
    const place = waiting as Place
    if (place.settled) return
    place.settled = true
    this.#tally.appendSeconds.observe((performance.now() - place.expiresAt + this.#waitMs) / 1_000)
    const count = place.unit.events.length
    this.#budget.events -= count
    this.#budget.bytes -= place.size
    this.#events -= count
    this.#size -= place.size
    place.resolve(outcome)
    if (this.#events > 0) return
    for (const resolve of this.#drained) resolve()
    this.#drained = []
  }

  /**
   * A timer that is left alone until it fires, whatever was settled meanwhile: one for each flush, taken back when the flush
   * was answered, kept a fifth of all that was allocated alive until a full collection.
   */
  #watch(ms: number): void {
    this.#deadline = setTimeout(() => this.#expire(), ms).unref()
  }

  #expire(): void {
    this.#deadline = undefined
    const now = performance.now()
    let next = Number.POSITIVE_INFINITY
    const look = (places: readonly Place[], flight?: Flight) => {
      for (const place of places) {
        if (place.settled) continue
        if (place.expiresAt <= now) this.settle(place, refused(this.#lateCode(flight)))
        else next = Math.min(next, place.expiresAt)
      }
    }
    for (const flight of this.#flights) if (flight !== undefined) look(flight.units as Place[], flight)
    look(this.#waiting)
    this.#waiting = this.#waiting.filter((place) => !place.settled)
    this.#waitingEvents = this.#waiting.reduce((sum, { unit }) => sum + unit.events.length, 0)
    if (next !== Number.POSITIVE_INFINITY) this.#watch(next - now + 1)
  }

  #sizeOf(unit: AppendUnit): number {
    let total = 0
    for (const { fields } of unit.events) {
      let size = 0
      for (const field of fields) size += field.length
      this.#tally.eventBytes.observe(size)
      total += size
    }
    return total
  }
}

export function refused(code: RefusalCode): Refusal {
  return { status: 'refused', code }
}
