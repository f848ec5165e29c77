/**
 * Handler calls of one partition, each from its start until Redis has confirmed what became of its entry.
 */

import type { GroupDefinition } from '../group-definition.ts'
import type { Log } from '../log.ts'
import { receivedEvent } from '../streams/entry.ts'
import type { GroupAddress } from '../streams/groups.ts'
import type { Lease } from '../streams/leases.ts'
import { failOwned, type OrderedEntry, type OrderedFailure } from '../streams/ordered-entries.ts'
import type { Handler } from '../topology-options.ts'
import { Call, CallContext, type CallEnvironment } from './call.ts'
import type { Circuit } from './circuit.ts'
import { OrderedAcks } from './ordered-acks.ts'
import { HandlerTimeout } from './outcomes.ts'
import { judge } from './verdict.ts'

const RETRY_MS = 200

/**
 * - `done`: handled, dead or gone; the key goes on.
 * - an outcome with `dueAt` (Redis milliseconds): it failed and is to be tried again then.
 * - `unsettled`: the lease is lost or the process ends; whoever owns the partition next has the entry.
 */
export type Settled = 'done' | 'unsettled' | { dueAt: number }

export interface OrderedCallsOptions {
  at: GroupAddress
  lease: Lease
  definition: GroupDefinition
  handler: Handler
  environment: CallEnvironment
  circuit: Circuit
  log: Log
  /** Redis milliseconds now. */
  now: () => number
}

type Ended = { kind: 'handled' } | { kind: 'failed'; error: unknown } | { kind: 'abandoned' }

export class OrderedCalls {
  readonly #options: OrderedCallsOptions
  readonly #acks: OrderedAcks
  readonly #running = new Set<Call>()
  /** Handlers that have not returned, listened to or not. */
  readonly #handlers = new Set<Promise<void>>()
  /** Calls whose outcome is not confirmed. */
  #open = 0
  #failing = 0
  #closed = false

  constructor(options: OrderedCallsOptions) {
    this.#options = options
    this.#acks = new OrderedAcks(options.at, options.lease, options.log)
  }

  /** Slots in use: running handlers, and failures that Redis has not taken yet. */
  get occupied(): number {
    return this.#running.size + this.#failing
  }

  /** Nothing runs, and Redis knows all outcomes. */
  get idle(): boolean {
    return this.#open === 0
  }

  /** Runs the handler and settles what comes of it. Never rejects; `onEnd` is called when the handler is done. */
  async run(entry: OrderedEntry, onEnd: () => void): Promise<Settled> {
    const { lease } = this.#options
    const past = { attempts: entry.held?.attempts, errors: entry.held?.errors, fence: lease.generation }
    const call = new Call({ ...entry, deliveries: 1 + entry.crashes }, lease.owner, past)
    call.startedAt = performance.now()
    this.#running.add(call)
    this.#options.environment.tally.running += 1
    this.#open += 1
    const ended = await this.#handle(call)
    call.ended = true
    this.#running.delete(call)
    this.#count(call, ended)
    onEnd()
    const settled = await this.#settle(entry, call, ended)
    this.#open -= 1
    return settled
  }

  /** Acknowledges an entry without a handler call. */
  async skip(entry: OrderedEntry): Promise<void> {
    await this.#acks.add(entry)
  }

  /** Makes an entry a dead letter without a handler call. */
  bury(entry: OrderedEntry, reason: 'undecodable' | 'crashed'): Promise<Settled> {
    const { attempts = 0, errors = '', firstFailedAt = this.#options.now() } = entry.held ?? {}
    return this.#fail(entry, { kind: 'dead', reason, fingerprint: reason, attempts, errors, firstFailedAt })
  }

  /** Stops listening to every running handler and aborts its signal. */
  abandon(reason: Error, lost: boolean): void {
    for (const call of this.#running) {
      call.lost ||= lost
      call.abort(reason)
      call.onDone?.()
    }
  }

  /** Tells Redis nothing more. */
  close(): void {
    this.#closed = true
    this.#acks.close()
  }

  /** Resolves when every handler has returned, also those that nobody listens to; at the latest after `withinMs`. */
  handlersReturned(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, withinMs)
      void Promise.allSettled(this.#handlers).then(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  #handle(call: Call): Promise<Ended> {
    const { definition, handler, environment } = this.#options
    const event = receivedEvent(call.event)
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        const error = new HandlerTimeout(`the handler took longer than ${definition.handlerTimeoutMs} ms`)
        call.abort(error)
        resolve({ kind: 'failed', error })
      }, definition.handlerTimeoutMs)
      call.onDone = () => resolve({ kind: 'abandoned' })
      const returned = (async () => handler(event, new CallContext(call, event, environment)))()
        .then(
          () => resolve({ kind: 'handled' }),
          (error: unknown) => resolve({ kind: 'failed', error })
        )
        .finally(() => {
          clearTimeout(timer)
          this.#handlers.delete(returned)
        })
      this.#handlers.add(returned)
    })
  }

  #count({ startedAt }: Call, ended: Ended): void {
    const { tally } = this.#options.environment
    if (ended.kind === 'handled') tally.handled(startedAt)
    else if (ended.kind === 'failed') tally.failed(startedAt, ended.error)
    else tally.abandoned(startedAt)
  }

  async #settle(entry: OrderedEntry, call: Call, ended: Ended): Promise<Settled> {
    const { definition, circuit, now } = this.#options
    if (ended.kind === 'abandoned' || call.lost) return 'unsettled'
    if (ended.kind === 'handled') {
      circuit.succeeded()
      return (await this.#acks.add(entry)) ? 'done' : 'unsettled'
    }
    const at = now()
    const verdict = judge(ended.error, definition, call, at)
    if (verdict.kind === 'retry' && verdict.tripMs !== undefined) circuit.trip(verdict.tripMs)
    const { attempts, errors } = verdict
    const history = { attempts, errors, firstFailedAt: entry.held?.firstFailedAt ?? at }
    if (verdict.kind === 'retry') return this.#fail(entry, { kind: 'held', dueAt: at + verdict.delayMs, ...history })
    return this.#fail(entry, { kind: 'dead', reason: verdict.reason, fingerprint: verdict.fingerprint, ...history })
  }

  /** Tells Redis about a failure until it confirms; at maxmemory, or while Redis is away, its key waits meanwhile. */
  async #fail(entry: OrderedEntry, failure: OrderedFailure): Promise<Settled> {
    this.#failing += 1
    try {
      return await this.#record(entry, failure)
    } finally {
      this.#failing -= 1
    }
  }

  async #record(entry: OrderedEntry, failure: OrderedFailure): Promise<Settled> {
    const { at, lease, log, definition } = this.#options
    let failing = false
    while (!this.#closed) {
      try {
        const outcome = await failOwned(at, lease, entry, failure)
        if (outcome === undefined) return 'unsettled'
        const about = { stream: at.keys.stream, group: definition.name, entryId: entry.id }
        if (outcome === 'dead' && failure.kind === 'dead')
          log.warn({ ...about, reason: failure.reason }, 'Event moved to the dead letters; its key goes on')
        if (outcome !== 'held' || failure.kind !== 'held') return 'done'
        const { attempts, errors, firstFailedAt, dueAt } = failure
        entry.held = { attempts, errors, firstFailedAt, dueAt }
        return { dueAt }
      } catch (err) {
        if (!failing) log.warn({ err, group: at.group, entryId: entry.id }, 'A failure cannot be recorded yet')
        failing = true
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
    return 'unsettled'
  }
}
