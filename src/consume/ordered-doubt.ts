/**
 * A partition whose last owner vanished. Only the first entry of a key can have been running then, so these are run
 * before anything else: one by one, with no other handler in the process (gate.ts), and with its name in the lease. If the
 * process dies of it, it is charged, and with `maxAttempts` crashes it is dead before it runs again. So a poison event
 * ends at the latest after `maxAttempts` + 1 processes, and the innocent are charged nothing.
 */

import type { GroupDefinition } from '../group-definition.ts'
import type { Log } from '../log.ts'
import type { GroupAddress } from '../streams/groups.ts'
import { clearDoubt, type Lease, markAlone } from '../streams/leases.ts'
import type { Gate } from './gate.ts'
import { nameOf, type Queued } from './ordered-backlog.ts'
import type { KeyQueues } from './ordered-queues.ts'
import type { Tenure } from './ordered-tenure.ts'
import type { RateLimit } from './rate-limit.ts'

export interface DoubtOptions {
  at: GroupAddress
  lease: Lease
  definition: GroupDefinition
  gate: Gate
  rate: RateLimit
  log: Log
  tenure: Tenure
  queues: KeyQueues<Queued>
  mayRun: () => boolean
  /** Runs a taken head and settles it. */
  run: (entry: Queued) => Promise<void>
  /** All have been through. */
  onCleared: () => void
}

export class Doubt {
  readonly #options: DoubtOptions
  /** What the last owner may have been running, as far as it has not been through. */
  #suspects?: Queued[]
  #busy = false

  constructor(options: DoubtOptions) {
    this.#options = options
  }

  /** A round waits for its turn, or is under way. */
  get busy(): boolean {
    return this.#busy
  }

  /** Begins a round unless there is one: as many suspects as its turn at the gate allows. */
  next(): void {
    if (this.#busy) return
    this.#busy = true
    const { gate, definition, log, tenure } = this.#options
    gate
      .alone(definition.staleAfterMs, tenure.signal, () => this.#round())
      .catch((err) => log.warn({ err, group: definition.name }, 'A round of suspects did not finish; another follows'))
      .finally(() => {
        this.#busy = false
      })
  }

  async #round(): Promise<void> {
    const { at, lease, definition, rate, tenure, queues, mayRun, run, onCleared } = this.#options
    this.#suspects ??= queues.heads()
    const endsAt = performance.now() + definition.staleAfterMs
    for (let entry = this.#suspects[0]; entry !== undefined; entry = this.#suspects[0]) {
      if (!mayRun() || performance.now() > endsAt || (await rate.take(1)) === 0) return
      if (!(await markAlone(at, lease, nameOf(entry)))) return tenure.lose()
      queues.begin(entry)
      await run(entry)
      this.#suspects.shift()
    }
    if (tenure.lost) return
    if (!(await clearDoubt(at, lease))) return tenure.lose()
    onCleared()
  }
}
