/**
 * The reaper: takes over what consumers hold whose heartbeat has stopped.
 *
 * After an outage of Redis every heartbeat looks old, so it acts only after staleAfterMs of uninterrupted sight: one
 * connection, and never more than half of staleAfterMs between two heartbeats of its own. A live consumer has had time
 * to say so by then. The takeover script checks once more, at the moment it runs (takeover.lua).
 */

import type { GroupDefinition } from '../group-definition.ts'
import type { Log } from '../log.ts'
import { type GroupAddress, type Pulse, retireConsumer, strangers } from '../streams/groups.ts'
import { TAKEOVER_LIMIT, takeOver } from '../streams/pending.ts'

export interface ReaperOptions {
  at: GroupAddress
  definition: GroupDefinition
  consumer: string
  log: Log
  /** The last heartbeat of this consumer that arrived, Redis milliseconds. */
  lastBeat: () => number
  /** Entries were taken over and wait in the pools. */
  onTaken: () => void
}

export class Reaper {
  readonly #options: ReaperOptions
  readonly #lostSight = () => {
    this.#lastPulse = undefined
  }
  /** Redis milliseconds; undefined: sight was lost, and the next heartbeat begins anew. */
  #lastPulse?: number
  #sightSince = 0
  #lookedForStrangers = 0
  /** Names without a heartbeat of their own, by when they were first seen. */
  #strangers = new Map<string, number>()
  #busy?: Promise<void>

  constructor(options: ReaperOptions) {
    this.#options = options
  }

  start(): void {
    this.#options.at.redis.on('close', this.#lostSight)
  }

  async stop(): Promise<void> {
    this.#options.at.redis.off('close', this.#lostSight)
    this.#lostSight()
    await this.#busy
  }

  /** Takes note of a heartbeat that arrived, and begins to act on it. */
  observe(pulse: Pulse): void {
    const { staleAfterMs } = this.#options.definition
    if (this.#lastPulse === undefined || pulse.now - this.#lastPulse > staleAfterMs / 2) {
      this.#sightSince = pulse.now
      this.#strangers.clear()
    }
    this.#lastPulse = pulse.now
    if (pulse.now - this.#sightSince < staleAfterMs) return
    this.#busy ??= this.#reap(pulse).finally(() => {
      this.#busy = undefined
    })
  }

  async #reap(pulse: Pulse): Promise<void> {
    const { at, definition, log } = this.#options
    try {
      for (const victim of pulse.stale) {
        if ((await this.#take(victim)) === 'emptied') await retireConsumer(at, victim, definition.staleAfterMs)
      }
      if (pulse.now - this.#lookedForStrangers >= definition.staleAfterMs) {
        this.#lookedForStrangers = pulse.now
        await this.#reapStrangers(pulse.now)
      }
    } catch (err) {
      log.warn({ err, group: at.group }, 'A takeover did not finish; it goes on with a later heartbeat')
    }
  }

  async #take(victim: string): Promise<'emptied' | 'not-now'> {
    const { at, definition, log, lastBeat, onTaken } = this.#options
    const { staleAfterMs, maxAttempts } = definition
    let taken = 0
    let deadLetters = 0
    let emptied = false
    while (!emptied && this.#lastPulse !== undefined) {
      const step = await takeOver(at, { victim, callerBeatMs: lastBeat(), staleAfterMs, maxAttempts })
      if (step.status === 'late' || step.status === 'alive') break
      taken += step.moved
      deadLetters += step.deadLetters
      emptied = step.moved < TAKEOVER_LIMIT
    }
    if (taken > 0) {
      const about = { stream: definition.stream, group: definition.name, consumer: victim }
      log.warn({ ...about, entries: taken, deadLetters }, 'Entries taken over from a consumer that vanished')
      onTaken()
    }
    return emptied ? 'emptied' : 'not-now'
  }

  /** Entries under a name that never sent a heartbeat (somebody claimed them by hand) are taken over by idle time. */
  async #reapStrangers(now: number): Promise<void> {
    const { at, definition } = this.#options
    const present = await strangers(at)
    const since = new Map(present.map((name) => [name, this.#strangers.get(name) ?? now]))
    this.#strangers = since
    for (const [name, firstSeen] of since) {
      // A consumer of ours whose heartbeat somebody deleted has sent the next one long before this.
      if (now - firstSeen >= definition.staleAfterMs) await this.#take(name)
    }
  }
}
