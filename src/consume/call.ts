/**
 * One pending entry in this process: the row Redis holds for us, the handler call made for it, and where that stands.
 */

import type { Log } from '../log.ts'
import type { HandlerRedis } from '../streams/connections.ts'
import { type CloudEvent, eventFromFields, fieldOf, type ReceivedEvent } from '../streams/entry.ts'
import type { PendingEntry, Side } from '../streams/pending.ts'
import type { HandlerContext, PublishedEvent } from '../topology-options.ts'
import type { FollowUp, FollowUpOutcome } from './follow-up.ts'
import type { HandlerTally } from './handler-tally.ts'
import { unavailable } from './outcomes.ts'

/**
 * - `waiting`: read, no slot or the gate closed; not started.
 * - `running`: the handler is at it.
 * - `settling`: the handler is done; Redis has not confirmed the outcome yet.
 */
export type CallState = 'waiting' | 'running' | 'settling'

/** What is kept of an entry of an ordered group beside it. */
export interface Past {
  attempts: number
  errors: string
  fence: number
}

export class Call {
  readonly side: Side
  readonly id: string
  /** The event's entry id in its stream, also for a requeued entry. */
  readonly entryId: string
  /** Failures before this call. */
  readonly attempts: number
  /** Processes that vanished while they handled it. */
  readonly crashes: number
  /** JSON text of the FailureHistory before this call. */
  readonly errors?: string
  readonly event: CloudEvent
  /** The consumer name that holds the entry. */
  readonly owner: string
  state: CallState = 'waiting'
  /** Monotonic milliseconds. */
  startedAt = 0
  /** It entered the gate as an ordinary handler. */
  inGate = false
  /** What the handler still does does not count: it timed out, or the process shuts down. */
  ended = false
  /** Somebody else holds the entry now. */
  lost = false
  /** Called when the handler is done and Redis has been told; at maxmemory, or while Redis is away, when it cannot be. */
  onDone?: () => void
  #controller?: AbortController

  /** The generation of the lease it runs under; 0 in an unordered group. */
  readonly fence: number

  /** `past` is what is known of the event besides its fields. */
  constructor(entry: PendingEntry, owner: string, past: Partial<Past> = {}) {
    const { side, id, fields } = entry
    const requeued = side === 'requeue'
    this.fence = past.fence ?? 0
    this.side = side
    this.id = id
    this.owner = owner
    this.entryId = requeued ? (fieldOf(fields, 'retry.entryId') ?? id) : id
    this.attempts = past.attempts ?? (requeued ? Number(fieldOf(fields, 'retry.attempts') ?? 0) : 0)
    this.crashes = entry.deliveries - 1 + (requeued ? Number(fieldOf(fields, 'retry.crashes') ?? 0) : 0)
    this.errors = past.errors ?? (requeued ? fieldOf(fields, 'retry.errors') : undefined)
    this.event = eventFromFields(fields)
  }

  /** Made on first use: most handlers never look. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    return this.#controller.signal
  }

  abort(reason: Error): void {
    this.#controller ??= new AbortController()
    this.#controller.abort(reason)
  }
}

/** Appends the event a handler publishes; a duplicate is a success. Rejects when the event itself is wrong. */
export type PublishFollowUp = (followUp: FollowUp) => Promise<FollowUpOutcome>

/** What every call of one group shares. */
export interface CallEnvironment {
  stream: string
  group: string
  redis: HandlerRedis
  key: (name: string) => string
  log: Log
  publish: PublishFollowUp
  tally: HandlerTally
  /** Rejects with TakenOver when this process may not act for the entry any more. */
  assertOwned: (call: Call) => Promise<void>
}

/** The context a handler receives. Its members may be taken apart (`({ publish, signal })`). */
export class CallContext implements HandlerContext {
  readonly entryId: string
  readonly stream: string
  readonly group: string
  readonly attempt: number
  readonly fence: number
  readonly redis: HandlerRedis
  readonly key: (name: string) => string
  readonly #call: Call
  readonly #event: ReceivedEvent
  readonly #environment: CallEnvironment
  #published = 0

  constructor(call: Call, event: ReceivedEvent, environment: CallEnvironment) {
    this.#call = call
    this.#event = event
    this.#environment = environment
    this.entryId = call.entryId
    this.stream = environment.stream
    this.group = environment.group
    this.attempt = call.attempts + 1
    this.fence = call.fence
    this.redis = environment.redis
    this.key = environment.key
  }

  get signal(): AbortSignal {
    return this.#call.signal
  }

  get log(): Log {
    const { entryId, stream, group } = this
    const { log } = this.#environment
    const about = { stream, group, entryId }
    return {
      debug: (fields, message) => log.debug({ ...about, ...fields }, message),
      info: (fields, message) => log.info({ ...about, ...fields }, message),
      warn: (fields, message) => log.warn({ ...about, ...fields }, message),
      error: (fields, message) => log.error({ ...about, ...fields }, message)
    }
  }

  get publish(): HandlerContext['publish'] {
    return (published) => this.#publish(published)
  }

  async #publish(published: PublishedEvent): Promise<{ entryId: string; duplicate: boolean }> {
    const { stream, group } = this
    const index = this.#published
    this.#published += 1
    await this.#environment.assertOwned(this.#call)
    const outcome = await this.#environment.publish({ event: this.#event, stream, group, published, index })
    // Nothing is wrong with the event: its follow-up can be stored later.
    if (!outcome.stored) throw unavailable(`'${published.type}' cannot be published now: ${outcome.code}`)
    return { entryId: outcome.entryId, duplicate: outcome.duplicate }
  }
}
