/**
 * One partition of an ordered group in the process that owns its lease.
 *
 *   loading -> open, or -> doubted -> open     (and back to loading after a read whose answer was lost)
 *
 * - loading: finds what is pending, in the order of its ids. It comes before anything new.
 * - doubted: the last owner vanished; what it may have been running goes first, alone (ordered-doubt.ts).
 * - open: reads, and runs the heads of its keys side by side.
 *
 * It ends by `drain` (running handlers finish, then the lease may be given back) or by losing the lease, which aborts
 * them. What they still do then is refused by Redis.
 */
import type { GroupAddress } from '../streams/groups.ts'
import type { Lease } from '../streams/leases.ts'
import { readNew } from '../streams/ordered-entries.ts'
import { redisFailure } from '../streams/redis-errors.ts'
import type { Call } from './call.ts'
import type { Gate } from './gate.ts'
import { Backlog, type BacklogOptions, type Queued } from './ordered-backlog.ts'
import { OrderedCalls, type OrderedCallsOptions } from './ordered-calls.ts'
import { Doubt } from './ordered-doubt.ts'
import { rebuildPartition } from './ordered-rebuild.ts'
import { Tenure } from './ordered-tenure.ts'
import type { TakenOver } from './outcomes.ts'
import type { RateLimit } from './rate-limit.ts'

const RETRY_MS = 100

export interface OrderedPartitionOptions extends Omit<OrderedCallsOptions, 'environment'> {
  partition: number
  inDoubt: boolean
  /** Monotonic milliseconds when the lease was asked for. */
  claimedAt: number
  keyOf: BacklogOptions['keyOf']
  environment: Omit<OrderedCallsOptions['environment'], 'assertOwned'>
  gate: Gate
  rate: RateLimit
  /** May handlers start now, as far as the process and the group are concerned? */
  mayRun: () => boolean
  /** Something may start or be read, or a slot is free. */
  onChange: () => void
  /** The lease is lost. */
  onLost: () => void
  /** The group is gone. */
  repair: () => Promise<void>
}

export class OrderedPartition {
  readonly #options: OrderedPartitionOptions
  readonly #calls: OrderedCalls
  readonly #backlog: Backlog
  readonly #doubt: Doubt
  readonly #tenure: Tenure
  #state: 'loading' | 'doubted' | 'open' = 'loading'
  #busy: Promise<unknown> = Promise.resolve()
  #reading = false
  /** The last read failed, and that was said. */
  #failing = false
  #cleared = false
  #rebuilding?: Promise<void>
  #draining = false
  /** What was read last of the stream and of the requeue stream. */
  cursors: [string, string] = ['0-0', '0-0']

  constructor(options: OrderedPartitionOptions) {
    this.#options = options
    const { staleAfterMs: leaseMs } = options.definition
    const environment = { ...options.environment, assertOwned: (call: Call) => this.#tenure.assertOwned(call) }
    this.#calls = new OrderedCalls({ ...options, environment })
    this.#tenure = new Tenure({ ...options, leaseMs, onLost: (reason) => this.#onLost(reason) })
    this.#backlog = new Backlog({ ...options, calls: this.#calls })
    this.#doubt = new Doubt({
      ...options,
      tenure: this.#tenure,
      queues: this.#backlog.queues,
      mayRun: () => this.#mayRun(),
      run: (entry) => this.#run(entry, () => undefined),
      onCleared: () => this.#onCleared()
    })
  }

  get at(): GroupAddress {
    return this.#options.at
  }

  get lease(): Lease {
    return this.#options.lease
  }

  get draining(): boolean {
    return this.#draining
  }

  /** Handler slots in use. */
  get occupied(): number {
    return this.#calls.occupied
  }

  /** Nothing runs, and Redis knows all outcomes. */
  get idle(): boolean {
    return this.#calls.idle && !this.#doubt.busy
  }

  /** Entries this process is responsible for. */
  get size(): number {
    return this.#backlog.size
  }

  /** Room for more, and nothing at hand that could start instead. */
  get wantsMore(): boolean {
    const { maxHeld, maxParked } = this.#options.definition
    if (this.#state !== 'open' || this.#reading || !this.#mayRun()) return false
    const { queues } = this.#backlog
    return queues.ready === 0 && queues.size < maxHeld && (this.#tenure.renewal?.dead ?? 0) < maxParked
  }

  /** Renews the lease, and does what that tells; rejects when Redis does not answer. */
  async renew(): Promise<void> {
    await this.#tenure.renew()
    const { rebuild } = this.#tenure.renewal ?? {}
    if (this.#draining || this.#tenure.lost) return
    if (this.#state === 'doubted') this.#doubt.next()
    else if (rebuild !== undefined && this.#state === 'open') this.#rebuild(rebuild)
  }

  /** Loads what is pending; begins or goes on, and resolves when it is done or the partition is not ours any more. */
  async load(): Promise<void> {
    while (!this.#tenure.lost && !this.#draining && this.#state === 'loading') {
      try {
        await this.#loadOnce()
      } catch (error) {
        await this.#recover(error)
      }
    }
    this.#options.onChange()
  }

  /** Reads once, without waiting for anything to come. True if it brought something. */
  async read(): Promise<boolean> {
    const { definition } = this.#options
    const room = definition.maxHeld - this.#backlog.queues.size
    this.#reading = true
    const read = readNew(this.at, this.lease, Math.min(room, Math.max(32, definition.concurrency)))
    this.#busy = read.catch(() => undefined)
    try {
      const found = await read
      this.#failing = false
      if (found === undefined) this.#tenure.lose()
      for (const entry of found?.entries ?? []) this.#backlog.admit(entry)
      if (found?.cursors !== undefined) this.cursors = found.cursors
      return (found?.entries.length ?? 0) > 0
    } catch (error) {
      this.#state = 'loading'
      await this.#recover(error)
      void this.load()
      return false
    } finally {
      this.#reading = false
    }
  }

  /** Starts up to `slots` handlers; returns when the next delayed head is due (monotonic milliseconds). */
  start(slots: number): number {
    const { queues } = this.#backlog
    const next = queues.wake(performance.now())
    const { gate, rate } = this.#options
    let free = this.#state === 'open' && this.#mayRun() ? Math.min(slots, queues.ready) : 0
    for (; free > 0 && rate.allows && gate.tryEnter(); free -= 1) {
      rate.use()
      void this.#run(queues.take() as Queued, () => gate.leave())
    }
    if (free > 0 && !rate.allows) rate.want(free)
    return next
  }

  /** Starts nothing more; resolves when nothing runs and Redis knows all outcomes. */
  async drain(): Promise<void> {
    this.#draining = true
    this.#tenure.leave()
    await this.#rebuilding
    while (!this.#tenure.lost && !this.idle) await pause(5)
    await this.#busy
  }

  /** The grace is over: nobody waits for the handlers that still run. */
  abandon(reason: Error): void {
    this.#calls.abandon(reason, false)
  }

  /** Nothing more is told to Redis. */
  close(): void {
    this.#tenure.close()
    this.#calls.close()
  }

  /** Resolves when every handler has returned, at the latest after `withinMs`. */
  handlersReturned(withinMs: number): Promise<void> {
    return this.#calls.handlersReturned(withinMs)
  }

  #mayRun(): boolean {
    const { fresh, renewal } = this.#tenure
    return fresh && !renewal?.paused && !this.#draining && this.#rebuilding === undefined && this.#options.mayRun()
  }

  /** Handlers are aborted, and nothing they do counts. */
  #onLost(reason: TakenOver): void {
    this.#calls.close()
    this.#calls.abandon(reason, true)
    this.#options.onLost()
  }

  async #loadOnce(): Promise<void> {
    if (!(await this.#backlog.load(this.at, this.lease))) return this.#tenure.lose()
    this.#state = this.#options.inDoubt && !this.#cleared ? 'doubted' : 'open'
    if (this.#state === 'doubted') this.#doubt.next()
  }

  #onCleared(): void {
    this.#cleared = true
    this.#state = 'open'
  }

  async #run(entry: Queued, onEnd: () => void): Promise<void> {
    const { definition, onChange } = this.#options
    const ended = () => {
      onEnd()
      onChange()
    }
    const isDead = entry.crashes >= definition.maxAttempts
    if (isDead) ended()
    const settled = isDead ? await this.#calls.bury(entry, 'crashed') : await this.#calls.run(entry, ended)
    this.#backlog.settled(entry, settled)
    onChange()
  }

  #rebuild(id: string): void {
    if (this.#rebuilding !== undefined) return
    const { environment, definition, log, onChange, partition } = this.#options
    const { signal } = this.#tenure
    const work = async () => {
      while (!this.#calls.idle && !signal.aborted) await pause(5)
      await this.#busy
      if (signal.aborted) return
      const isPending = (entryId: string) => this.#backlog.has('stream', entryId)
      await rebuildPartition(
        { at: this.at, lease: this.lease, definition, partition, environment, signal, isPending },
        id
      )
    }
    this.#rebuilding = work()
      .catch((err) => log.warn({ err, group: definition.name, partition }, 'A rebuild was cut off; it begins anew'))
      .finally(() => {
        this.#rebuilding = undefined
        onChange()
      })
  }

  async #recover(error: unknown): Promise<void> {
    const { log, definition, repair } = this.#options
    if (redisFailure(error) === 'missing-group') await repair().catch(() => undefined)
    else if (!this.#tenure.lost && !this.#failing) {
      this.#failing = true
      log.warn({ err: error, group: definition.name }, 'Reading a partition failed; trying again')
    }
    await pause(RETRY_MS)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
