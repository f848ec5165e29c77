/**
 * Sends the flushes of one appender to Redis, one after the other: each until it is answered, refused for good, or nobody
 * waits for it any more.
 *
 * A flush whose answer was lost is sent again with the same sequence number for as long as one of its units waits;
 * append.lua then answers from the record it keeps for this flusher. Once a later flush has been recorded, a late copy is
 * refused. So a broken connection stores every unit once or, where the answer was `outcome-unknown`, at most once.
 */
import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import type { Log } from '../log.ts'
import type { DurabilityLevel } from '../topology-options.ts'
import { type AppendQueue, type Flight, refused } from './append-queue.ts'
import type { AppendTally } from './append-tally.ts'
import { type Bulk, encodedCommand } from './commands.ts'
import { untilReady } from './connections.ts'
import { type DurabilityPlan, waitFor } from './durability.ts'
import { flushCall, flushResults, type LimitOf, type UnitResult } from './flush.ts'
import type { StreamKeys } from './keys.ts'
import type { RefusalCode } from './outcomes.ts'
import { isMissingScript, isMoving, redisFailure } from './redis-errors.ts'
import type { Retention } from './retention.ts'

/** What is known of the connection that the flushers of an appender share. */
export interface Link {
  /** Monotonic milliseconds, while there is no connection. */
  downSince?: number
  /** What Redis said last is that the stream's slot is on its way to another node. */
  moving: boolean
}

/** What Redis said to a flush. */
export interface Answer {
  /** Of each unit of the flight, in their order. */
  results: readonly UnitResult[]
  /** Entries in the stream. */
  length: number
  durability: DurabilityLevel
  /** The durability was reached in time. */
  durable: boolean
}

export interface FlusherOptions {
  redis: Redis
  /** Name of the physical stream. */
  stream: string
  keys: StreamKeys
  queue: AppendQueue
  link: Link
  retention: Retention
  limitOf: LimitOf
  /** Asked for each try. */
  durability: () => DurabilityPlan
  commandTimeoutMs: number
  tally: AppendTally
  log: Log
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

/** Resolves with the answer once there is one, or, when no unit waits any more, with undefined. Never rejects. */
export type Flush = (flight: Flight) => Promise<Answer | undefined>

export function createFlusher(options: FlusherOptions): Flush {
  const { redis, keys, queue, link, tally } = options
  // The answer has to be back before the requests give up.
  const waitMs = Math.min(Math.floor(options.commandTimeoutMs / 2), MAX_WAIT_MS)
  const flushKey = keys.flush(randomUUID())
  const script = encodedCommand<[number, string]>(redis, 'append')
  let sequence = 0

  async function flush(flight: Flight): Promise<Answer | undefined> {
    sequence += 1
    const tries: Tries = { left: false, refused: false, trimmed: false, lost: 0 }
    while (flight.units.some((waiting) => !waiting.settled)) {
      if (redis.status !== 'ready') {
        link.downSince ??= performance.now()
        await untilReady(redis, RETRY_MS)
        continue
      }
      link.downSince = undefined
      const plan = options.durability()
      if (plan.unmet !== undefined) {
        // Right after a reconnect it may only not be known yet; else the deadline refuses what must not be stored.
        await sleep(RETRY_MS)
        continue
      }
      if (!tries.left) dropLate(flight, tries)
      if (flight.units.length === 0) return
      try {
        return await stored(flight, plan, tries)
      } catch (err) {
        await recover(flight, tries, err)
      }
    }
    return
  }

  /**
   * Before a try of a flush that has surely not run: who was told that nothing was stored is left out. After a refusal
   * that goes also for who would have to be told in the middle of the next try, when nobody can know. A flush that may
   * have run stays as it is, or its answer would not fit.
   */
  function dropLate(flight: Flight, tries: Tries): void {
    const from = tries.refused ? performance.now() + LAST_TRY_MS : Number.NEGATIVE_INFINITY
    for (const waiting of flight.units) if (waiting.expiresAt < from) queue.settle(waiting, refused(notStored(link)))
    flight.units = flight.units.filter((waiting) => !waiting.settled)
  }

  /** The flush and what waits behind it, written in one go. If the flush was answered and the wait was not, it has left. */
  async function stored(flight: Flight, plan: DurabilityPlan, tries: Tries): Promise<Answer> {
    const units = flight.units.map((waiting) => waiting.unit)
    const waits = plan.wait !== undefined
    const encode = (bulk: Bulk) => flushCall(bulk, keys, flushKey, sequence, units, options.limitOf, waits)
    flight.sent = true
    const sentAt = performance.now()
    const sending = script.send(keys.stream, encode)
    const waiting = waitFor(redis, plan, waitMs)
    waiting.catch(() => undefined)
    const [length, text] = await sending
    let durable: boolean
    try {
      durable = await waiting
    } catch (err) {
      tries.left = true
      throw err
    }
    link.moving = false
    const results = flushResults(text, units)
    tally.answered(units, results, sentAt)
    return { results, length, durability: plan.level, durable }
  }

  /** Returns when the flush may be tried again, or was given up. */
  async function recover(flight: Flight, tries: Tries, err: unknown): Promise<void> {
    const failure = redisFailure(err)
    link.moving = isMoving(err)
    tries.left ||= failure === 'unknown'
    tries.refused = failure === 'refused' && !isMissingScript(err)
    flight.sent = tries.left
    if (failure === 'unsent' || failure === 'unknown') {
      // A dying connection can still call itself ready: without a turn of the event loop it would never say otherwise.
      await (tries.lost === 0 ? nextTurn() : sleep(RETRY_MS))
      tries.lost += 1
    } else if (isMissingScript(err)) await script.load().catch(() => sleep(RETRY_MS))
    else if (failure === 'refused') await sleep(RETRY_MS)
    else if (failure === 'full' && !tries.trimmed) {
      tries.trimmed = true
      await options.retention.trim(true).catch(() => {})
    } else fail(flight, failure === 'full' ? 'store-full' : tries.left ? 'outcome-unknown' : 'store-down', err)
  }

  function fail(flight: Flight, code: RefusalCode, err: unknown): void {
    if (code !== 'store-full') options.log.error({ err, stream: options.stream }, 'Redis refused an append')
    for (const waiting of flight.units) queue.settle(waiting, refused(code))
  }

  return flush
}

/** Why a unit that was surely not stored was not. */
export function notStored({ moving }: Link): RefusalCode {
  return moving ? 'store-moving' : 'store-down'
}
