/**
 * The appender of one physical stream: group commit.
 *
 * Requests push units (their events for this stream) and wait. Whatever arrived while a flush was on its way forms the
 * next flush: one call of append.lua, one round trip, and, with `appendfsync always`, one fsync for all of them. Where
 * so much waits that it is worth a call of its own, a second flush follows behind the first on the same connection, and
 * Redis need not wait for us between the two.
 *
 * A unit is settled by the answer of Redis, or by its deadline, `commandTimeoutMs` after it was pushed (append-queue.ts):
 * `store-down` if it was never sent, else `outcome-unknown`. What happens to a flush that is not answered: flusher.ts.
 */
import type { Redis } from 'ioredis'
import type { Log } from '../log.ts'
import type { StreamDefinition } from '../topology.ts'
import { AppendQueue, type Flight, refused, type Waiting } from './append-queue.ts'
import type { AppendTally } from './append-tally.ts'
import type { DurabilityPlan } from './durability.ts'
import type { AppendUnit } from './flush.ts'
import { type Answer, createFlusher, type Flush, type Link, notStored } from './flusher.ts'
import type { Keys } from './keys.ts'
import type { AppendOutcome } from './outcomes.ts'
import type { QueueBudget } from './queue-budget.ts'
import type { Retention } from './retention.ts'

export interface Appender {
  /** Stores the unit whole or not at all. Never rejects; see AppendOutcome. */
  append: (unit: AppendUnit) => Promise<AppendOutcome>
  /** Events waiting and in flight. */
  depth: () => number
  /** Resolves when everything pushed so far is settled. */
  drain: () => Promise<void>
}

/** Worth a flush behind one that is under way: beside so many events what each call costs Redis is lost. */
const AHEAD_EVENTS = 200

export function createAppender(options: {
  redis: Redis
  keys: Keys
  stream: StreamDefinition
  budget: QueueBudget
  retention: Retention
  /** Asked for each flush. */
  hardLimit: () => number
  /** Asked for each flush. */
  durability: () => DurabilityPlan
  commandTimeoutMs: number
  tally: AppendTally
  log: Log
}): Appender {
  const { redis, stream, retention, durability, commandTimeoutMs, tally, log } = options
  const limitOf = (unit: AppendUnit) => {
    const limit = options.hardLimit()
    return Math.min(unit.fromHandler ? Math.floor(limit * 1.1) : limit, Number.MAX_SAFE_INTEGER)
  }
  // Trimming one entry at a time would cost a script call per append.
  const trimAbove = stream.maxLength + Math.min(100, Math.ceil(stream.maxLength / 10))

  const link: Link = { moving: false }
  const queue = new AppendQueue({
    budget: options.budget,
    tally,
    waitMs: commandTimeoutMs,
    // A unit put back after a refusal may have been sent, and surely was not stored.
    lateCode: (flight) => (flight?.sent ? 'outcome-unknown' : notStored(link))
  })
  const flusherOptions = {
    redis,
    stream: stream.name,
    keys: options.keys.of(stream.name),
    queue,
    link,
    retention,
    limitOf,
    durability,
    commandTimeoutMs,
    tally,
    log
  }
  const idle = [createFlusher(flusherOptions), createFlusher(flusherOptions)]
  const flushers = idle.length
  let starting = false

  function append(unit: AppendUnit): Promise<AppendOutcome> {
    if (unit.events.length > options.hardLimit()) return Promise.resolve(refused('too-many-events'))
    // Once Redis has been away for as long as anyone would wait, waiting is not worth a place in the queue.
    const { downSince } = link
    if (redis.status !== 'ready' && downSince !== undefined && performance.now() - downSince > commandTimeoutMs)
      return Promise.resolve(refused('store-down'))
    const outcome = queue.push(unit)
    if (outcome === undefined) return Promise.resolve(refused('overloaded'))
    if (!starting && mayStart()) {
      starting = true
      // One turn of the event loop collects the requests that arrived together.
      setImmediate(() => {
        starting = false
        start()
      })
    }
    return outcome
  }

  function mayStart(): boolean {
    if (idle.length === flushers) return queue.waitingEvents > 0
    // Behind a WAIT Redis does nothing else for the connection.
    return idle.length > 0 && queue.waitingEvents >= AHEAD_EVENTS && durability().wait === undefined
  }

  function start(): void {
    while (mayStart()) {
      const flush = idle.pop() as Flush
      void fly(queue.take(), flush).then(() => {
        idle.push(flush)
        start()
      })
    }
  }

  async function fly(flight: Flight, flush: Flush): Promise<void> {
    const answer = await flush(flight)
    if (answer !== undefined) {
      // In a turn of their own: the next flush is on its way before requests are answered.
      setImmediate(settle, flight.units, answer)
      const full = flight.units.filter((_, i) => answer.results[i]?.status === 'full')
      if (full.length > 0) await makeRoom(full)
      else if (answer.length > trimAbove) trimLater()
    }
    queue.landed(flight)
  }

  /** All units but those there was no room for. */
  function settle(units: readonly Waiting[], { results, durability, durable }: Answer): void {
    units.forEach((waiting, i) => {
      const result = results[i]
      if (result?.status === 'appended' && !durable) queue.settle(waiting, refused('durability-unknown'))
      else if (result?.status === 'appended') queue.settle(waiting, { ...result, durability })
      else if (result?.status === 'reused') queue.settle(waiting, { ...refused('key-reused'), index: result.index })
    })
  }

  /**
   * Groups may have caught up since the last trim: a unit is refused as `stream-full` only right after one, and gets a
   * second try, in front of the queue, if the trim made room.
   */
  async function makeRoom(full: readonly Waiting[]): Promise<void> {
    const state = await retention.trim(true).catch(() => undefined)
    const again: Waiting[] = []
    let length = state?.length ?? Number.POSITIVE_INFINITY
    for (const waiting of full) {
      if (waiting.settled) continue
      length += waiting.unit.events.length
      // The first that does not fit ends it for those behind it, or small units would starve a large one.
      if (length <= limitOf(waiting.unit) && !waiting.retried) {
        waiting.retried = true
        again.push(waiting)
      } else {
        length = Number.POSITIVE_INFINITY
        queue.settle(waiting, { ...refused('stream-full'), pinnedBy: state?.pinnedBy })
      }
    }
    queue.putBack(again)
  }

  function trimLater(): void {
    retention.trim(false).catch((err) => log.debug({ err, stream: stream.name }, 'trimming failed'))
  }

  return { append, depth: () => queue.events, drain: () => queue.drain() }
}
