/**
 * Suspects: entries whose process vanished while they were being handled. One of them may be what kills processes, so
 * they never run beside ordinary handlers, of any group, in their process.
 *
 *   crashed once -> `~suspects` -> all that wait run together, as `<consumer>:together`
 *   the process dies of that round -> `~alone`, no crash charged: nobody knows which one it was
 *   `~alone`, or the only suspect there is -> runs alone, as `<consumer>:alone`
 *   the process dies of that -> one more crash; `maxAttempts` of them make the dead letter `crashed`
 *
 * The round together is there for the usual case, a process that was killed with many innocent entries in flight: one by
 * one, sixteen handlers of half a second would hold up everything in the process for eight.
 */
import type { GroupAddress } from '../streams/groups.ts'
import { idsHeldBy, type PendingEntry, pools, reassign, sides } from '../streams/pending.ts'
import type { GroupDefinition, Log } from '../topology.ts'
import { Call } from './call.ts'
import type { Gate } from './gate.ts'
import type { InFlight } from './in-flight.ts'

export interface SuspectsOptions {
  at: GroupAddress
  definition: GroupDefinition
  consumer: string
  gate: Gate
  inFlight: InFlight
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
    let owner = `${this.#options.consumer}:together`
    let entries = await this.#claim(pools.suspects, owner, this.#options.definition.concurrency)
    if (entries.length === 1) {
      const together = owner
      owner = `${this.#options.consumer}:alone`
      entries = await this.#claim(together, owner, 1)
    } else if (entries.length === 0) {
      owner = `${this.#options.consumer}:alone`
      entries = await this.#claim(pools.alone, owner, 1)
    }
    // What was claimed when the stop came stays pending under its name, to be handed over.
    if (this.#stop.signal.aborted) return 0
    const { inFlight } = this.#options
    // A handler of ours that timed out of Redis's sight may still be at it; its entry goes back with the next round.
    const calls = entries.filter(({ side, id }) => inFlight.find(side, id) === undefined)
    await Promise.all(calls.map((entry) => this.#run(new Call(entry, owner))))
    return calls.length
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
    const roles = [
      { from: `${consumer}:together`, to: pools.suspects },
      { from: `${consumer}:alone`, to: pools.alone }
    ]
    for (const side of sides) {
      for (const { from, to } of roles) {
        const held = await idsHeldBy(at, side, from, 1_000)
        const ids = held.filter((id) => inFlight.find(side, id) === undefined)
        await reassign(at, { side, from, to, ids })
      }
    }
  }
}
