/**
 * One group of one stream in one process, unordered: its heartbeat, its intake, its suspects and its reaper, and the
 * entries they work on (in-flight.ts). Groups that keep an order will have a worker of their own beside this one.
 */
import type { Redis } from 'ioredis'
import type { GroupDefinition } from '../group-definition.ts'
import type { Log } from '../log.ts'
import { type MoveOut, PROMOTE_LIMIT, promote } from '../streams/delayed.ts'
import { type GroupAddress, type Pulse, retireConsumer } from '../streams/groups.ts'
import { isHeldBy, pools, reassign, rounds, sides } from '../streams/pending.ts'
import type { Handler } from '../topology-options.ts'
import type { Call, CallEnvironment } from './call.ts'
import { Circuit } from './circuit.ts'
import type { Gate } from './gate.ts'
import { Heartbeat } from './heartbeat.ts'
import { InFlight } from './in-flight.ts'
import { type Allowance, Intake } from './intake.ts'
import { TakenOver, unavailable } from './outcomes.ts'
import { RateLimit } from './rate-limit.ts'
import { Reaper } from './reaper.ts'
import { Suspects } from './suspects.ts'

/** After the grace, how long acks and failures may take to reach Redis. */
const SETTLE_MS = 2_000
/** Entries handed over per call. */
const HANDOVER_LIMIT = 200

export interface GroupWorkerOptions {
  at: GroupAddress
  definition: GroupDefinition
  handler: Handler
  consumer: string
  /** A connection nobody else uses; the worker connects and closes it. */
  connection: Redis
  gate: Gate
  environment: Omit<CallEnvironment, 'assertOwned'>
  log: Log
}

export class GroupWorker {
  readonly #options: GroupWorkerOptions
  readonly #heartbeat: Heartbeat
  readonly #intake: Intake
  readonly #suspects: Suspects
  readonly #reaper: Reaper
  readonly #inFlight: InFlight
  readonly #circuit = new Circuit()
  readonly #rate: RateLimit
  readonly #stopListening: () => void
  /** Monotonic milliseconds: calls that started before it may have been taken over unnoticed. */
  #doubtBefore = Number.NEGATIVE_INFINITY
  #parked = 0
  #promoting?: Promise<void>
  #saidNewer = false
  #stopped?: Promise<void>

  constructor(options: GroupWorkerOptions) {
    this.#options = options
    const { at, definition, consumer, gate, log } = options
    const assertOwned = (call: Call) => this.#assertOwned(call)
    const shared = { at, definition, consumer, gate, log }
    this.#heartbeat = new Heartbeat({
      ...shared,
      onPulse: (pulse) => this.#onPulse(pulse),
      onGap: () => this.#onGap()
    })
    this.#inFlight = new InFlight({
      ...shared,
      handler: options.handler,
      environment: { ...options.environment, assertOwned },
      circuit: this.#circuit,
      now: () => this.#heartbeat.now(),
      onFreed: () => this.#intake.notify(),
      onMovedOut: (moved) => this.#onMovedOut(moved)
    })
    const { ratePerSecond } = definition
    this.#rate = new RateLimit({ at, ratePerSecond, onTokens: () => this.#intake.notify() })
    this.#intake = new Intake({
      ...shared,
      connection: options.connection,
      inFlight: this.#inFlight,
      rate: this.#rate,
      allowance: () => this.#allowance(),
      mayStart: () => this.#slots() >= 1,
      repair: () => this.#heartbeat.runOnce()
    })
    this.#suspects = new Suspects({
      ...shared,
      inFlight: this.#inFlight,
      rate: this.#rate,
      mayRun: () => this.#mayRun()
    })
    this.#reaper = new Reaper({
      ...shared,
      lastBeat: () => this.#heartbeat.pulse?.now ?? 0,
      onTaken: () => this.#suspects.wanted()
    })
    this.#stopListening = gate.onOpen(() => this.#intake.notify())
  }

  get consumer(): string {
    return this.#options.consumer
  }

  get definition(): GroupDefinition {
    return this.#options.definition
  }

  /** Entries this process is responsible for. */
  get inFlight(): number {
    return this.#inFlight.size
  }

  /** Begins to consume, at once or as soon as Redis can be reached. */
  start(): void {
    this.#reaper.start()
    this.#heartbeat.start()
    this.#intake.start()
  }

  /**
   * Reads nothing more, lets handlers finish for `graceMs`, aborts the rest, gives everything that is pending under this
   * consumer's names back uncharged, and goes.
   */
  stop(graceMs: number): Promise<void> {
    this.#stopped ??= this.#stop(graceMs)
    return this.#stopped
  }

  async #stop(graceMs: number): Promise<void> {
    const { definition, log } = this.#options
    const suspectsEnd = this.#suspects.stop()
    const graceEnds = setTimeout(() => this.#inFlight.abandon(new Error('the process shuts down')), graceMs)
    await this.#intake.stop()
    await suspectsEnd
    await this.#rate.stop()
    await this.#inFlight.emptied()
    clearTimeout(graceEnds)
    this.#stopListening()
    await this.#inFlight.close(SETTLE_MS)
    await this.#reaper.stop()
    await this.#promoting
    await this.#heartbeat.stop()
    try {
      await this.#handOver()
    } catch (err) {
      log.warn({ err, group: definition.name }, 'Pending entries could not be handed over; others take them when stale')
    }
  }

  async #handOver(): Promise<void> {
    const { at, consumer, definition, log } = this.#options
    const moves = [
      { from: consumer, to: pools.handedOver },
      ...rounds.map(({ pool, role }) => ({ from: consumer + role, to: pool }))
    ]
    let entries = 0
    for (const side of sides) {
      for (const move of moves) {
        let moved: number
        do {
          moved = (await reassign(at, { ...move, side, limit: HANDOVER_LIMIT })).length
          entries += moved
        } while (moved > 0)
      }
    }
    if (entries > 0) log.info({ stream: definition.stream, group: definition.name, entries }, 'Entries handed over')
    await retireConsumer(at, consumer, 0)
  }

  #onPulse(pulse: Pulse): void {
    this.#parked = pulse.parked
    this.#reaper.observe(pulse)
    if (this.#stopped !== undefined) return
    if (pulse.nextDue !== undefined && pulse.nextDue <= pulse.now) this.#promoteDue()
    if (pulse.paused) this.#intake.interrupt()
    if (pulse.suspects && this.#mayRun()) this.#suspects.wanted()
    if (pulse.handedOver) this.#intake.takeHandedOver()
    this.#intake.notify()
  }

  #onGap(): void {
    const { definition, log } = this.#options
    this.#doubtBefore = performance.now()
    log.warn({ stream: definition.stream, group: definition.name }, 'Heartbeats did not arrive for too long')
    this.#intake.doubt()
    this.#inFlight.reconcile().catch(() => undefined)
  }

  #onMovedOut(moved: MoveOut): void {
    this.#parked = moved.parked
  }

  #promoteDue(): void {
    const { at, definition, log } = this.#options
    const all = async () => {
      let promoted: Awaited<ReturnType<typeof promote>>
      do {
        promoted = await promote(at)
        if (promoted.newer > 0 && !this.#saidNewer) {
          this.#saidNewer = true
          log.warn(
            { stream: definition.stream, group: definition.name },
            'Retries wait for a newer Headgate: it wrote them'
          )
        }
      } while (promoted.due === PROMOTE_LIMIT)
      this.#heartbeat.hurry()
    }
    this.#promoting ??= all()
      .catch((err) => log.warn({ err, group: definition.name }, 'Due retries stay delayed for now'))
      .finally(() => {
        this.#promoting = undefined
      })
  }

  /** Not paused, and alive as far as the others can see: what a dead-looking consumer reads is taken from it at once. */
  #mayRun(): boolean {
    const { pulse, ageMs } = this.#heartbeat
    return pulse !== undefined && !pulse.paused && ageMs < this.#options.definition.staleAfterMs / 2
  }

  #allowance(): Allowance {
    const handedOver = this.#heartbeat.pulse?.handedOver === true
    return { slots: this.#slots(), requeueOnly: this.#parked >= this.#options.definition.maxParked, handedOver }
  }

  /** Handlers that may start, beside those that run. */
  #slots(): number {
    if (!this.#mayRun()) return 0
    return this.#circuit.allowance(this.#options.definition.concurrency) - this.#inFlight.occupied
  }

  async #assertOwned(call: Call): Promise<void> {
    const { definition } = this.#options
    const doubted = call.startedAt <= this.#doubtBefore || this.#heartbeat.ageMs >= definition.staleAfterMs
    if (doubted && !call.lost && !(await this.#stillHolds(call))) {
      call.lost = true
      call.abort(new TakenOver('another process has taken this entry over'))
    }
    if (call.lost || call.ended) throw new TakenOver('this process may not publish for the entry any more')
  }

  async #stillHolds(call: Call): Promise<boolean> {
    try {
      return await isHeldBy(this.#options.at, call.side, call.id, call.owner)
    } catch (cause) {
      throw unavailable('Redis does not say whether the entry is still ours', { cause })
    }
  }
}
