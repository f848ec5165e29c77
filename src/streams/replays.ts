/**
 * Replays: dead letters of one group go back to it, and to no other group, through its requeue stream.
 *
 * A replay is a job whose whole state is in Redis, one hash per physical stream:
 *
 *   running -> done        every letter that was dead when it was created has been looked at, or its limit is reached
 *   running -> cancelled   by an operator; what was requeued stays requeued
 *
 * Any process may do the next step. A lease keeps two from doing it side by side, which would be harmless and wasteful:
 * a step moves letters and the job's cursor in one script, and its rate is measured in the job itself.
 */
import { randomUUID } from 'node:crypto'
import type { Log } from '../log.ts'
import { command } from './commands.ts'
import type { RedisOf } from './connections.ts'
import { comparedFields, type DeadLetterFilter } from './dead-letters.ts'
import type { GroupAddress } from './groups.ts'
import type { Keys } from './keys.ts'
import type { GroupPart } from './targets.ts'

export type ReplayStatus = 'running' | 'done' | 'cancelled'

export interface ReplayOrder {
  filter: DeadLetterFilter
  /** Only these letters; those that are gone by then are counted as missing. */
  ids?: string[]
  limit?: number
  ratePerSecond: number
  createdBy: string
}

export interface Replay {
  id: string
  status: ReplayStatus
  ratePerSecond: number
  /** Letters it has requeued. */
  requeued: number
  /** Letters it left where they are, because their event is lost. */
  skipped: number
  /** Named letters that were not there. */
  missing: number
  createdBy: string
  /** Redis milliseconds. */
  createdAt: number
  endedAt?: number
}

/** How long a job that ended can be looked at. */
const KEPT_MS = 7 * 86_400_000
const LEASE_MS = 2_000
/** Letters one step looks at: of any size, so fewer than a list does. */
const LOOK = 100

/** Creates one job over the parts of a stream. Its rate and limit are shared out among them. */
export async function createReplay(
  parts: readonly { at: GroupPart; share: number; limit?: number }[],
  order: ReplayOrder
): Promise<string> {
  const job = `${Date.now().toString(36)}-${randomUUID().slice(0, 8)}`
  for (const { at, share, limit } of parts) {
    const { redis, keys, group } = at
    const own = keys.group(group)
    const { filter, ids, ratePerSecond, createdBy } = order
    await command<number>(redis, 'replay-create')(
      [own.replay(job), own.dead, keys.replays],
      [
        job,
        group,
        comparedFields(filter),
        filter.from ?? '-',
        filter.to ?? '+',
        ids === undefined ? '' : JSON.stringify(ids),
        limit ?? Number.MAX_SAFE_INTEGER,
        ratePerSecond * share,
        createdBy
      ]
    )
  }
  return job
}

/** One job, added up over the parts; undefined: there is none, or it ended long ago. */
export async function findReplay(parts: readonly GroupAddress[], job: string): Promise<Replay | undefined> {
  const rows = await Promise.all(parts.map(({ redis, keys, group }) => redis.hgetall(keys.group(group).replay(job))))
  const found = rows.filter(({ status }) => status !== undefined).map((row) => replayFrom(job, row))
  return found.reduce<Replay | undefined>((sum, part) => (sum === undefined ? part : added(sum, part)), undefined)
}

/** The jobs of a group that are not through, the newest first. */
export async function runningReplays(parts: readonly GroupAddress[]): Promise<Replay[]> {
  const open = await Promise.all(
    parts.map(async (at) => (await openReplays(at)).filter(({ group }) => group === at.group))
  )
  const jobs = new Set(open.flat().map(({ job }) => job))
  const replays = await Promise.all(Array.from(jobs, (job) => findReplay(parts, job)))
  return replays
    .filter((replay): replay is Replay => replay?.status === 'running')
    .toSorted((a, b) => b.createdAt - a.createdAt)
}

/** Of every group of one physical stream. */
async function openReplays({ redis, keys }: Omit<GroupAddress, 'group'>): Promise<{ group: string; job: string }[]> {
  return (await redis.smembers(keys.replays)).map((member) => {
    const [group = '', job = ''] = member.split(' ')
    return { group, job }
  })
}

function added(a: Replay, b: Replay): Replay {
  const running = a.status === 'running' || b.status === 'running'
  return {
    ...a,
    status: running ? 'running' : a.status === 'cancelled' ? a.status : b.status,
    ratePerSecond: a.ratePerSecond + b.ratePerSecond,
    requeued: a.requeued + b.requeued,
    skipped: a.skipped + b.skipped,
    missing: a.missing + b.missing,
    createdAt: Math.min(a.createdAt, b.createdAt),
    endedAt: running ? undefined : Math.max(a.endedAt ?? 0, b.endedAt ?? 0)
  }
}

function replayFrom(id: string, row: Record<string, string>): Replay {
  const number = (name: string) => Number(row[name] ?? 0)
  return {
    id,
    status: row.status as ReplayStatus,
    ratePerSecond: number('ratePerSecond'),
    requeued: number('requeued'),
    skipped: number('skipped'),
    missing: number('missing'),
    createdBy: row.createdBy ?? '',
    createdAt: number('createdAt'),
    endedAt: row.endedAt === undefined ? undefined : number('endedAt')
  }
}

/** Ends a job on every part; false: there is no such job. Safe to repeat. */
export async function cancelReplay(parts: readonly GroupAddress[], job: string): Promise<boolean> {
  const statuses = await Promise.all(
    parts.map(({ redis, keys, group }) =>
      command<string | null>(redis, 'replay-cancel')([keys.group(group).replay(job), keys.replays], [job, KEPT_MS])
    )
  )
  return statuses.some((status) => status !== null)
}

/** One step of a job on one part; how long to wait before the next, or undefined when there is none to do here. */
export async function replayStep(at: GroupAddress, job: string, owner: string): Promise<number | undefined> {
  const { redis, keys, group } = at
  const own = keys.group(group)
  const [status, waitMs] = await command<[ReplayStatus | 'gone' | 'busy' | 'newer', number]>(redis, 'replay-step')(
    [own.replay(job), own.dead, own.requeue, keys.replays, own.counts],
    [job, owner, LEASE_MS, LOOK, KEPT_MS]
  )
  if (status === 'gone') await redis.srem(keys.replays, `${group} ${job}`)
  return status === 'running' ? waitMs : undefined
}

export interface ReplayRunner {
  start: () => void
  /** Looks for jobs at once: one was just created here. */
  hurry: () => void
  stop: () => Promise<void>
}

/** How often a process looks for jobs that nobody carries on. */
const LOOK_EVERY_MS = 1_000

/** Carries on the replays of these physical streams, whoever created them, until it is stopped. */
export function createReplayRunner(options: {
  redisOf: RedisOf
  keys: Keys
  streams: readonly string[]
  log: Log
}): ReplayRunner {
  const { redisOf, keys, streams, log } = options
  const owner = randomUUID()
  const running = new Map<string, Promise<void>>()
  const stopping = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let looking: Promise<unknown> | undefined

  const look = () => {
    if (stopping.signal.aborted) return
    looking ??= Promise.all(streams.map(find)).finally(() => {
      looking = undefined
    })
  }

  async function find(stream: string): Promise<void> {
    const own = keys.of(stream)
    const redis = redisOf(own.stream)
    if (redis.status !== 'ready') return
    try {
      for (const { group, job } of await openReplays({ redis, keys: own })) {
        const name = `${stream} ${group} ${job}`
        if (running.has(name)) continue
        const run = carryOn({ redis, keys: own, group }, job).finally(() => running.delete(name))
        running.set(name, run)
      }
    } catch (err) {
      log.debug({ err, stream }, 'Looking for replays failed and will be tried again')
    }
  }

  async function carryOn(at: GroupAddress, job: string): Promise<void> {
    try {
      while (!stopping.signal.aborted) {
        const waitMs = await replayStep(at, job, owner)
        if (waitMs === undefined) return
        // Below half of the lease, or another process would take the job in the meantime.
        if (waitMs > 0) await pause(Math.min(waitMs, LEASE_MS / 2), stopping.signal)
      }
    } catch (err) {
      log.debug({ err, group: at.group, job }, 'A step of a replay failed; it is tried again')
    }
  }

  return {
    start() {
      timer ??= setInterval(look, LOOK_EVERY_MS)
      look()
    },
    hurry: look,
    async stop() {
      stopping.abort()
      clearInterval(timer)
      await looking
      await Promise.all(running.values())
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
  })
}
