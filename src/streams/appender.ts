/**
 * The appender of one physical stream: group commit.
 *
 * Requests push units (their events for this stream) and wait. Whatever arrived while a flush was on its way forms the
 * next flush: one call of append.lua, one round trip, and, with `appendfsync always`, one fsync for all of them.
 *
 * A unit is settled by the answer of Redis, or by its deadline, `commandTimeoutMs` after it was pushed (append-queue.ts):
 * `store-down` if it was never sent, else `outcome-unknown`.
 *
 * A flush whose answer was lost is sent again with the same sequence number for as long as one of its units waits;
 * append.lua then answers from its record. Once a later flush has been recorded, a late copy of it is refused. So a
 * broken connection stores every unit once or, where the answer was `outcome-unknown`, at most once.
 */
import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Log } from '../log.ts'
import type { StreamDefinition } from '../topology.ts'
import { AppendQueue, refused, type Waiting } from './append-queue.ts'
import type { AppendTally } from './append-tally.ts'
import { type Encoded, encodedCommand } from './commands.ts'
import { untilReady } from './connections.ts'
import { type DurabilityPlan, waitFor } from './durability.ts'
import { type AppendUnit, flushCall, flushResults } from './flush.ts'
import type { Keys } from './keys.ts'
import type { AppendOutcome, RefusalCode } from './outcomes.ts'
import type { QueueBudget } from './queue-budget.ts'
import { isMissingScript, isMoving, redisFailure } from './redis-errors.ts'
import type { Retention } from './retention.ts'

export interface Appender {
  /** Stores the unit whole or not at all. Never rejects; see AppendOutcome. */
  append: (unit: AppendUnit) => Promise<AppendOutcome>
  /** Events waiting and in flight. */
  depth: () => number
  /** Resolves when everything pushed so far is settled. */
  drain: () => Promise<void>
}

interface Flight {
  units: readonly Waiting[]
  /** The command has left this process at least once. */
  sent: boolean
}

/** What became of the tries of one flush so far. */
interface Tries {
  /** One may have run: no answer came, or none to what it waits for. */
  left: boolean
  /** Redis refused the last one for a passing reason. */
  refused: boolean
  trimmed: boolean
  /** Connections that broke under it. */
  lost: number
}

/** Between two tries of a flush that Redis refused for a passing reason, such as a failover. */
const RETRY_MS = 50
/** After a refusal, a try that has less time left than this is not begun. */
const LAST_TRY_MS = 100
/** Redis must have answered a WAIT before its silence makes us give the connection up. */
const MAX_WAIT_MS = 5_000

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
  const { redis, stream, retention, commandTimeoutMs, tally } = options
  const log = options.log
  // The answer has to be back before the requests give up.
  const waitMs = Math.min(Math.floor(commandTimeoutMs / 2), MAX_WAIT_MS)
  const keys = options.keys.of(stream.name)
  const flushKey = keys.flush(randomUUID())
  const script = encodedCommand<[number, string]>(redis, 'append')
  const limitOf = (unit: AppendUnit) => {
    const limit = options.hardLimit()
    return Math.min(unit.fromHandler ? Math.floor(limit * 1.1) : limit, Number.MAX_SAFE_INTEGER)
  }
  // Trimming one entry at a time would cost a script call per append.
  const trimAbove = stream.maxLength + Math.min(100, Math.ceil(stream.maxLength / 10))

  let flight: Flight | undefined
  let sequence = 0
  let running = false
  let downSince: number | undefined
  /** What Redis said last is that the stream's slot is on its way to another node. */
  let moving = false
  let idle: (() => void)[] = []
  const queue = new AppendQueue({
    budget: options.budget,
    tally,
    waitMs: commandTimeoutMs,
    // A unit put back after a refusal may have been sent, and surely was not stored.
    lateCode: (isTaken) => (isTaken && flight?.sent ? 'outcome-unknown' : notStored())
  })

  function append(unit: AppendUnit): Promise<AppendOutcome> {
    if (unit.events.length > options.hardLimit()) return Promise.resolve(refused('too-many-events'))
    // Once Redis has been away for as long as anyone would wait, waiting is not worth a place in the queue.
    if (redis.status !== 'ready' && downSince !== undefined && performance.now() - downSince > commandTimeoutMs)
      return Promise.resolve(refused('store-down'))
    const outcome = queue.push(unit)
    if (outcome === undefined) return Promise.resolve(refused('overloaded'))
    if (!running) {
      running = true
      // One turn of the event loop collects the requests that arrived together.
      setImmediate(run)
    }
    return outcome
  }

  function notStored(): RefusalCode {
    return moving ? 'store-moving' : 'store-down'
  }

  async function run(): Promise<void> {
    while (!queue.isEmpty) {
      flight = { units: queue.take(), sent: false }
      sequence += 1
      await deliver(flight, sequence)
      flight = undefined
      queue.flushed()
    }
    running = false
    for (const resolve of idle) resolve()
    idle = []
  }

  /** Sends one flush until it is answered, refused for good, or nobody waits for it any more. */
  async function deliver(current: Flight, number: number): Promise<void> {
    const tries: Tries = { left: false, refused: false, trimmed: false, lost: 0 }
    while (current.units.some((waiting) => !waiting.settled)) {
      if (redis.status !== 'ready') {
        downSince ??= performance.now()
        await untilReady(redis, RETRY_MS)
        continue
      }
      downSince = undefined
      const plan = options.durability()
      if (plan.unmet !== undefined) {
        // Right after a reconnect it may only not be known yet; else the deadline refuses what must not be stored.
        await sleep(RETRY_MS)
        continue
      }
      if (!tries.left) dropLate(current, tries)
      if (current.units.length === 0) return
      const units = current.units.map((waiting) => waiting.unit)
      const call = flushCall(keys, flushKey, number, units, limitOf, plan.wait !== undefined)
      try {
        current.sent = true
        const sentAt = performance.now()
        const [[length, text], durable] = await stored(call, plan, tries)
        moving = false
        const full = answer(current, text, plan, durable, sentAt)
        if (full.length > 0) await makeRoom(full)
        else if (length > trimAbove) trimLater()
        return
      } catch (err) {
        await recover(current, tries, err)
      }
    }
  }

  /**
   * Before a try of a flush that has surely not run: who was told that nothing was stored is left out. After a refusal
   * that goes also for who would have to be told in the middle of the next try, when nobody can know. A flush that may
   * have run stays as it is, or its answer would not fit.
   */
  function dropLate(current: Flight, tries: Tries): void {
    const from = tries.refused ? performance.now() + LAST_TRY_MS : Number.NEGATIVE_INFINITY
    for (const waiting of current.units) if (waiting.expiresAt < from) queue.settle(waiting, refused(notStored()))
    current.units = current.units.filter((waiting) => !waiting.settled)
  }

  /** The flush and what waits behind it, written in one go. If the flush was answered and the wait was not, it has left. */
  async function stored(call: Encoded, plan: DurabilityPlan, tries: Tries): Promise<[[number, string], boolean]> {
    const sending = script.send(keys.stream, call)
    const waiting = waitFor(redis, plan, waitMs)
    waiting.catch(() => undefined)
    const flushed = await sending
    try {
      return [flushed, await waiting]
    } catch (err) {
      tries.left = true
      throw err
    }
  }

  /** Returns when the flush may be tried again, or was given up. */
  async function recover(current: Flight, tries: Tries, err: unknown): Promise<void> {
    const failure = redisFailure(err)
    moving = isMoving(err)
    tries.left ||= failure === 'unknown'
    tries.refused = failure === 'refused' && !isMissingScript(err)
    current.sent = tries.left
    if (failure === 'unsent' || failure === 'unknown') {
      // A dying connection can still call itself ready: without a turn of the event loop it would never say otherwise.
      await (tries.lost === 0 ? nextTurn() : sleep(RETRY_MS))
      tries.lost += 1
    } else if (isMissingScript(err)) await script.load().catch(() => sleep(RETRY_MS))
    else if (failure === 'refused') await sleep(RETRY_MS)
    else if (failure === 'full' && !tries.trimmed) {
      tries.trimmed = true
      await retention.trim(true).catch(() => {})
    } else fail(current, failure === 'full' ? 'store-full' : tries.left ? 'outcome-unknown' : 'store-down', err)
  }

  function fail(current: Flight, code: RefusalCode, err: unknown): void {
    if (code !== 'store-full') log.error({ err, stream: stream.name }, 'Redis refused an append')
    for (const waiting of current.units) queue.settle(waiting, refused(code))
  }

  /** Settles every unit but those there was no room for. */
  function answer(current: Flight, text: string, plan: DurabilityPlan, durable: boolean, sentAt: number): Waiting[] {
    const full: Waiting[] = []
    const units = current.units.map((waiting) => waiting.unit)
    const results = flushResults(text, units)
    tally.answered(units, results, sentAt)
    current.units.forEach((waiting, i) => {
      const result = results[i]
      if (result?.status === 'appended' && !durable) queue.settle(waiting, refused('durability-unknown'))
      else if (result?.status === 'appended') queue.settle(waiting, { ...result, durability: plan.level })
      else if (result?.status === 'reused') queue.settle(waiting, { ...refused('key-reused'), index: result.index })
      else full.push(waiting)
    })
    return full
  }

  /**
   * Groups may have caught up since the last trim: a unit is refused as `stream-full` only right after one, and gets a
   * second try, in front of the queue, if the trim made room.
   */
  async function makeRoom(full: Waiting[]): Promise<void> {
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

  return {
    append,
    depth: () => queue.events,
    drain: () => (running ? new Promise((resolve) => idle.push(resolve)) : Promise.resolve())
  }
}
