/**
 * The units that wait to be stored in one physical stream: within the budget, in the order they came, each until its
 * deadline.
 *
 * A unit is WAITING until a flush takes it, then IN FLIGHT until Redis answered, and is settled exactly once: by whoever
 * took it, or by its deadline. A unit whose deadline has passed stays with its flush, which goes on for the sake of the
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

interface Place extends Waiting {
  settled: boolean
  /** In UTF-16 units: close enough to bytes to bound memory. */
  size: number
  resolve: (outcome: AppendOutcome) => void
}

/** One script call of 1,000 events keeps Redis busy for about 5 ms; more would delay everyone else. */
const MAX_FLUSH_EVENTS = 1_000
const MAX_FLUSH_BYTES = 1_048_576

export class AppendQueue {
  readonly #budget: QueueBudget
  readonly #tally: AppendTally
  readonly #waitMs: number
  readonly #lateCode: (isTaken: boolean) => RefusalCode
  #waiting: Place[] = []
  /** Of the flush under way. */
  #taken: readonly Place[] = []
  #events = 0
  #size = 0
  #deadline?: NodeJS.Timeout

  /** `waitMs`: how long a unit waits; `lateCode`: what it is then refused with. */
  constructor(options: {
    budget: QueueBudget
    tally: AppendTally
    waitMs: number
    lateCode: (isTaken: boolean) => RefusalCode
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

  get isEmpty(): boolean {
    return this.#waiting.length === 0
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
    this.#size += size
    return new Promise((resolve) => {
      const expiresAt = performance.now() + this.#waitMs
      this.#waiting.push({ unit, size, expiresAt, retried: false, settled: false, resolve })
      this.#deadline ??= setTimeout(() => this.#expire(), this.#waitMs)
    })
  }

  /** The units of the next flush. */
  take(): readonly Waiting[] {
    let count = 0
    let size = 0
    let n = 0
    for (const place of this.#waiting) {
      count += place.unit.events.length
      size += place.size
      if (n > 0 && (count > MAX_FLUSH_EVENTS || size > MAX_FLUSH_BYTES)) break
      n += 1
    }
    if (n === this.#waiting.length) {
      this.#taken = this.#waiting
      this.#waiting = []
    } else this.#taken = this.#waiting.splice(0, n)
    return this.#taken
  }

  /** Puts units of the flush under way in front of all others. */
  putBack(units: readonly Waiting[]): void {
    if (units.length > 0) this.#waiting = (units as Place[]).concat(this.#waiting)
  }

  /** The flush under way is over; no deadline is watched while nothing waits. */
  flushed(): void {
    this.#taken = []
    if (this.#waiting.length > 0) return
    clearTimeout(this.#deadline)
    this.#deadline = undefined
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
  }

  #expire(): void {
    this.#deadline = undefined
    const now = performance.now()
    let next = Number.POSITIVE_INFINITY
    const look = (places: readonly Place[], isTaken: boolean) => {
      for (const place of places) {
        if (place.settled) continue
        if (place.expiresAt <= now) this.settle(place, refused(this.#lateCode(isTaken)))
        else next = Math.min(next, place.expiresAt)
      }
    }
    look(this.#taken, true)
    look(this.#waiting, false)
    this.#waiting = this.#waiting.filter((place) => !place.settled)
    if (next !== Number.POSITIVE_INFINITY) this.#deadline = setTimeout(() => this.#expire(), next - now + 1)
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
