/**
 * The heartbeat of one consumer: says that it lives, and learns how its group stands (paused, parked, due, stale).
 *
 * Four heartbeats fit into staleAfterMs, and at least two into a second: that is how soon a pause, an entry handed over
 * and a full group are noticed. It beats earlier when a delayed entry falls due or another consumer turns stale.
 */

import type { GroupDefinition } from '../group-definition.ts'
import type { Log } from '../log.ts'
import { ensureGroup, type GroupAddress, heartbeat, type Pulse } from '../streams/groups.ts'
import { redisFailure } from '../streams/redis-errors.ts'
import { Wake } from './wake.ts'

const MAX_TICK_MS = 500
const MIN_TICK_MS = 5
const RETRY_MS = 100

export interface HeartbeatOptions {
  at: GroupAddress
  definition: GroupDefinition
  consumer: string
  log: Log
  onPulse: (pulse: Pulse) => void
  /** For a while this consumer looked dead: others may have taken what it held. */
  onGap: () => void
}

export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #tickMs: number
  readonly #wake = new Wake()
  readonly #beatNow = () => this.#wake.notify()
  #pulse?: Pulse
  /** Monotonic milliseconds when the last heartbeat that arrived was sent. */
  #sentAt = Number.NEGATIVE_INFINITY
  /** Redis milliseconds minus monotonic milliseconds. */
  #offset = 0
  #loop?: Promise<void>
  #stopping = false
  #failing = false

  constructor(options: HeartbeatOptions) {
    this.#options = options
    this.#tickMs = Math.min(MAX_TICK_MS, options.definition.staleAfterMs / 4)
  }

  /** What the last heartbeat learned; undefined before the first. */
  get pulse(): Pulse | undefined {
    return this.#pulse
  }

  /** Milliseconds since the last heartbeat was sent that arrived. */
  get ageMs(): number {
    return performance.now() - this.#sentAt
  }

  /** Redis milliseconds, as the last heartbeat told; the local monotonic clock in between. */
  now(): number {
    return Math.round(performance.now() + this.#offset)
  }

  start(): void {
    if (this.#loop !== undefined) return
    // Back after an outage: say so before anyone finds the time to wonder.
    this.#options.at.redis.on('ready', this.#beatNow)
    this.#loop = this.#run()
  }

  /** Beats at once: something changed that the last heartbeat could not tell. */
  hurry(): void {
    this.#wake.notify()
  }

  async stop(): Promise<void> {
    this.#stopping = true
    this.#options.at.redis.off('ready', this.#beatNow)
    this.#wake.notify()
    await this.#loop
  }

  /** One heartbeat. Creates the group when it is missing. */
  async runOnce(): Promise<void> {
    const { at, definition, consumer, onPulse, onGap } = this.#options
    if (this.#pulse === undefined) await this.#ensureGroup()
    const sentAt = performance.now()
    let pulse: Pulse
    try {
      pulse = await heartbeat(at, consumer, definition.staleAfterMs)
    } catch (error) {
      if (redisFailure(error) !== 'missing-group') throw error
      await this.#ensureGroup()
      pulse = await heartbeat(at, consumer, definition.staleAfterMs)
    }
    const first = this.#pulse === undefined
    this.#pulse = pulse
    this.#sentAt = sentAt
    this.#offset = pulse.now - performance.now()
    if (!first && (pulse.previous === undefined || pulse.now - pulse.previous >= definition.staleAfterMs)) onGap()
    onPulse(pulse)
  }

  async #run(): Promise<void> {
    const { log, at } = this.#options
    while (!this.#stopping) {
      let waitMs = RETRY_MS
      try {
        await this.runOnce()
        if (this.#failing) log.info({ group: at.group }, 'Heartbeats arrive again')
        this.#failing = false
        waitMs = this.#nextTickMs()
      } catch (err) {
        if (!this.#failing && !this.#stopping) log.warn({ err, group: at.group }, 'A heartbeat did not arrive')
        this.#failing = true
      }
      if (!this.#stopping) await this.#wake.wait(waitMs)
    }
  }

  async #ensureGroup(): Promise<void> {
    const { at, definition, log } = this.#options
    const outcome = await ensureGroup(at, definition.from)
    const about = { stream: definition.stream, group: definition.name }
    if (outcome === 'recreated') log.warn(about, 'The group had vanished; it starts again at the first entry')
    else if (outcome === 'created') log.info(about, 'Group created')
  }

  #nextTickMs(): number {
    const { now = 0, nextDue = Number.POSITIVE_INFINITY, nextStale = Number.POSITIVE_INFINITY } = this.#pulse ?? {}
    // What is due already is on its way; whoever promoted it makes us hurry.
    const soonest = Math.min(nextDue > now ? nextDue : Number.POSITIVE_INFINITY, nextStale) - now
    return Math.min(this.#tickMs, Math.max(MIN_TICK_MS, soonest + 1))
  }
}
