/**
 * The entries of one group that this process is responsible for, from the moment it knows of them until Redis confirmed
 * what became of them. While an entry is in here it is never started a second time, whatever Redis delivers.
 *
 * waiting -> running -> settling -> gone. A handler that ends after its timeout, or after the entry was given back, is
 * not listened to. A timed-out handler frees its slot although it may still be running: a hung one must not block the group.
 */

import type { GroupDefinition } from '../group-definition.ts'
import type { Log } from '../log.ts'
import { bury, delay, type FailedEntry, type MoveOut } from '../streams/delayed.ts'
import { receivedEvent } from '../streams/entry.ts'
import type { GroupAddress } from '../streams/groups.ts'
import { idsHeldBy, type Side } from '../streams/pending.ts'
import type { Handler } from '../topology-options.ts'
import { Acks } from './acks.ts'
import { type Call, CallContext, type CallEnvironment } from './call.ts'
import type { Circuit } from './circuit.ts'
import type { Gate } from './gate.ts'
import { HandlerTimeout, TakenOver } from './outcomes.ts'
import { judge, type Verdict } from './verdict.ts'

/** Between two tries to tell Redis about a failure. */
const RETRY_MS = 200

export interface InFlightOptions {
  at: GroupAddress
  definition: GroupDefinition
  handler: Handler
  environment: CallEnvironment
  gate: Gate
  circuit: Circuit
  log: Log
  /** Redis milliseconds now. */
  now: () => number
  /** A slot is free again, or will be once Redis has taken a failure. */
  onFreed: () => void
  onMovedOut: (moved: MoveOut) => void
}

export class InFlight {
  readonly #options: InFlightOptions
  readonly #held: Record<Side, Map<string, Call>> = { stream: new Map(), requeue: new Map() }
  /** In the order they started, which is the order of their deadlines. */
  readonly #running = new Set<Call>()
  readonly #acks: Acks
  #deadline?: NodeJS.Timeout
  #settling = 0
  #closed = false
  #onEmpty?: () => void

  constructor(options: InFlightOptions) {
    this.#options = options
    this.#acks = new Acks({ at: options.at, log: options.log, onAcked: (call) => this.#settled(call) })
  }

  /**
   * Slots in use: running handlers, and failures that Redis has not taken yet. At maxmemory it takes none; then reading
   * must stop, or the whole backlog would fail into this process.
   */
  get occupied(): number {
    return this.#running.size + this.#settling
  }

  /** Entries this process is responsible for. */
  get size(): number {
    return this.#held.stream.size + this.#held.requeue.size
  }

  find(side: Side, id: string): Call | undefined {
    return this.#held[side].get(id)
  }

  hold(call: Call): void {
    this.#held[call.side].set(call.id, call)
  }

  /** Forgets an entry that was held and never started. */
  release(call: Call): void {
    this.#held[call.side].delete(call.id)
  }

  /** Starts the handler. Whoever calls has made sure of a slot and, for an ordinary call, of the gate. */
  start(call: Call): void {
    this.hold(call)
    call.state = 'running'
    call.startedAt = performance.now()
    this.#running.add(call)
    this.#options.environment.tally.running += 1
    this.#deadline ??= setTimeout(() => this.#endOverdue(), this.#options.definition.handlerTimeoutMs)
    void this.#handle(call)
  }

  /** Acknowledges an entry without a handler call. */
  skip(call: Call): void {
    this.hold(call)
    call.state = 'settling'
    this.#acks.add(call)
  }

  /** Makes an entry that is no event a dead letter without a handler call. */
  refuse(call: Call): void {
    this.hold(call)
    const fingerprint = 'undecodable'
    void this.#settle(call, { kind: 'dead', reason: fingerprint, attempts: 0, errors: '', fingerprint })
  }

  /**
   * Looks up who holds the entries of running handlers, and aborts those whose entry somebody took. For when this process
   * may have looked dead, and now and then, because operators take entries too.
   */
  async reconcile(): Promise<void> {
    const checked = Array.from(this.#running).filter((call) => !call.lost)
    const holdings = new Map<string, Set<string>>()
    for (const { side, owner } of checked) {
      const holding = `${side} ${owner}`
      if (holdings.has(holding)) continue
      holdings.set(holding, new Set(await idsHeldBy(this.#options.at, side, owner, this.size + 1_000)))
    }
    for (const call of checked) {
      const held = holdings.get(`${call.side} ${call.owner}`)?.has(call.id)
      if (held || !this.#running.has(call)) continue
      call.lost = true
      call.abort(new TakenOver('another process has taken this entry over'))
    }
  }

  /** Resolves when no handler runs. Nothing may start any more. */
  async emptied(): Promise<void> {
    if (this.#running.size > 0)
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve
      })
  }

  /** Stops listening to every running handler and aborts its signal; their entries stay pending here. */
  abandon(reason: Error): void {
    for (const call of this.#running) {
      call.abort(reason)
      if (this.#end(call)) this.#options.environment.tally.abandoned(call.startedAt)
      call.onDone?.()
    }
  }

  /** Resolves when every outcome is confirmed by Redis, at the latest after `withinMs`. */
  async close(withinMs: number): Promise<void> {
    clearTimeout(this.#deadline)
    const deadline = performance.now() + withinMs
    await this.#acks.close(withinMs)
    while (this.#settling > 0 && performance.now() < deadline) await pause(10)
    this.#closed = true
  }

  async #handle(call: Call): Promise<void> {
    try {
      const event = receivedEvent(call.event)
      await this.#options.handler(event, new CallContext(call, event, this.#options.environment))
    } catch (error) {
      if (this.#end(call)) this.#fail(call, error)
      return
    }
    if (!this.#end(call)) return
    this.#options.environment.tally.handled(call.startedAt)
    this.#options.circuit.succeeded()
    call.state = 'settling'
    this.#acks.add(call)
  }

  /** Frees the slot; false when the call had ended before. */
  #end(call: Call): boolean {
    if (!this.#running.delete(call)) return false
    call.ended = true
    if (call.inGate) this.#options.gate.leave()
    if (this.#running.size === 0) this.#onEmpty?.()
    this.#options.onFreed()
    return true
  }

  #fail(call: Call, error: unknown): void {
    const { definition, circuit, environment, now } = this.#options
    environment.tally.failed(call.startedAt, error)
    const verdict = judge(error, definition, call, now())
    if (verdict.kind === 'retry' && verdict.tripMs !== undefined) circuit.trip(verdict.tripMs)
    void this.#settle(call, verdict)
  }

  #endOverdue(): void {
    const { handlerTimeoutMs } = this.#options.definition
    this.#deadline = undefined
    for (const call of this.#running) {
      const leftMs = call.startedAt + handlerTimeoutMs - performance.now()
      if (leftMs > 0) {
        this.#deadline = setTimeout(() => this.#endOverdue(), Math.ceil(leftMs))
        return
      }
      const timeout = new HandlerTimeout(`the handler took longer than ${handlerTimeoutMs} ms`)
      call.abort(timeout)
      if (this.#end(call)) this.#fail(call, timeout)
    }
  }

  /** Tells Redis about a failure until it confirms; at maxmemory, or while Redis is away, the entry stays pending here. */
  async #settle(call: Call, verdict: Verdict): Promise<void> {
    const { at, log, onMovedOut } = this.#options
    const { side, id, owner, entryId } = call
    const failed: FailedEntry = { side, id, owner, attempts: verdict.attempts, errors: verdict.errors }
    call.state = 'settling'
    this.#settling += 1
    let failing = false
    while (!this.#closed) {
      try {
        const moved =
          verdict.kind === 'dead'
            ? await bury(at, failed, verdict.reason, verdict.fingerprint)
            : await delay(at, failed, verdict.delayMs)
        this.#report(call, verdict, moved)
        this.#settled(call)
        if (moved.parked >= 0) onMovedOut(moved)
        break
      } catch (err) {
        if (!failing) log.warn({ err, group: at.group, entryId }, 'A failure cannot be recorded yet; trying again')
        failing = true
        call.onDone?.()
        await pause(RETRY_MS)
      }
    }
    this.#settling -= 1
    this.#options.onFreed()
  }

  #report(call: Call, verdict: Verdict, { status }: MoveOut): void {
    const { definition, log } = this.#options
    const about = { stream: definition.stream, group: definition.name, entryId: call.entryId, type: call.event.type }
    if (status === 'not-owner') log.info(about, 'A failure was not recorded: another process has the entry')
    else if (status === 'lost') log.warn(about, 'The entry of a failed event is gone from its stream')
    else if (verdict.kind === 'dead') log.warn({ ...about, reason: verdict.reason }, 'Event moved to the dead letters')
    else log.debug({ ...about, attempts: verdict.attempts, delayMs: verdict.delayMs }, 'Event will be retried')
  }

  #settled(call: Call): void {
    this.release(call)
    call.onDone?.()
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
