/**
 * Suspects: entries whose process vanished while they were being handled. One of them may be what kills processes, so
 * they never run beside ordinary handlers, of any group, in their process.
 *
 *   crashed once -> `~suspects` -> all that wait run together, as `<consumer>:together`
 *   the process dies of that round -> rounds of 16, then of 4, no crash charged: nobody knows which one it was
 *   the process dies of a round of 4 -> `~alone` -> runs alone, as `<consumer>:alone`
 *   the process dies of that -> one more crash; `maxAttempts` of them make the dead letter `crashed`
 *
 * The rounds together are there for the usual case, processes that were killed with many innocent entries in flight: one
 * by one, sixteen handlers of half a second would hold up everything in the process for eight, and whoever happens to run
 * alone when the next kill comes would be charged for it. A real culprit costs three processes more.
 */

import type { GroupDefinition } from '../group-definition.ts'
import type { Log } from '../log.ts'
import type { GroupAddress } from '../streams/groups.ts'
import { idsHeldBy, type PendingEntry, reassign, rounds, sides } from '../streams/pending.ts'
import { Call } from './call.ts'
import type { Gate } from './gate.ts'
import type { InFlight } from './in-flight.ts'
import type { RateLimit } from './rate-limit.ts'

export interface SuspectsOptions {
  at: GroupAddress
  definition: GroupDefinition
  consumer: string
  gate: Gate
  inFlight: InFlight
  rate: RateLimit
  log: Log
  /** May handlers start now, as far as the group is concerned? */
  mayRun: () => boolean
}

export class Suspects {
  readonly #options: SuspectsOptions
  readonly #stop = new AbortController()
  #busy?: Promise<void>

  constructor(options: SuspectsOptions) {
    this.#options = options
  }

  /** There are suspects: runs them when it is their turn. */
  wanted(): void {
    if (this.#stop.signal.aborted) return
    this.#busy ??= this.#takeTurn().finally(() => {
      this.#busy = undefined
    })
  }

  /** Begins no further round and resolves when the present one is over. */
  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#busy
  }

  async #takeTurn(): Promise<void> {
    const { gate, definition, log, mayRun } = this.#options
    const { staleAfterMs } = definition
    try {
      await gate.alone(staleAfterMs, this.#stop.signal, async () => {
        const endsAt = performance.now() + staleAfterMs
        await this.#putBack()
        while (!this.#stop.signal.aborted && mayRun() && performance.now() < endsAt) {
          if ((await this.#runOnce()) === 0) break
        }
      })
    } catch (err) {
      log.warn({ err, group: definition.name }, 'A round of suspects did not finish; the next heartbeat begins another')
    }
  }

  /** One round; returns how many ran. Only inside the gate. */
  async #runOnce(): Promise<number> {
    const { rate, definition } = this.#options
    const allowed = await rate.take(definition.concurrency)
    if (allowed < 1) return 0
    const { owner, entries } = await this.#claimRound(allowed)
    await rate.giveBack(allowed - entries.length)
    // What was claimed when the stop came stays pending under its name, to be handed over.
    if (this.#stop.signal.aborted) return 0
    const { inFlight } = this.#options
    // A handler of ours that timed out of Redis's sight may still be at it; its entry goes back with the next round.
    const calls = entries.filter(({ side, id }) => inFlight.find(side, id) === undefined)
    await Promise.all(calls.map((entry) => this.#run(new Call(entry, owner))))
    return calls.length
  }

  /** The next round: the largest pool first, one entry of `~alone` last. Empty: no suspects are left. */
  async #claimRound(allowed: number): Promise<{ owner: string; entries: PendingEntry[] }> {
    let owner = ''
    for (const { pool, most, role } of rounds) {
      owner = this.#options.consumer + role
      const entries = await this.#claim(pool, owner, Math.min(allowed, most))
      if (entries.length > 0) return { owner, entries }
    }
    return { owner, entries: [] }
  }

  #run(call: Call): Promise<void> {
    return new Promise((resolve) => {
      call.onDone = resolve
      this.#options.inFlight.start(call)
    })
  }

  async #claim(from: string, to: string, limit: number): Promise<PendingEntry[]> {
    const claimed: PendingEntry[] = []
    for (const side of sides) {
      const missing = limit - claimed.length
      if (missing > 0) claimed.push(...(await reassign(this.#options.at, { side, from, to, limit: missing })))
    }
    return claimed
  }

  /** Returns to the pools what an earlier round claimed without hearing of it. */
  async #putBack(): Promise<void> {
    const { at, consumer, inFlight } = this.#options
    for (const side of sides) {
      for (const { pool, role } of rounds) {
        const from = consumer + role
        const held = await idsHeldBy(at, side, from, 1_000)
        const ids = held.filter((id) => inFlight.find(side, id) === undefined)
        await reassign(at, { side, from, to: pool, ids })
      }
    }
  }
}
