/**
 * What Redis does with a write before it answers, and what a stream makes it do on top.
 *
 * - `memory`: Redis has it. Lost if Redis stops before it wrote to disk.
 * - `fsync`: on the disk of the master. Redis does that by itself (`appendonly yes`, `appendfsync always` and
 *   `no-appendfsync-on-rewrite no`), or WAITAOF asks for it after each flush (Redis 7.2).
 * - `replicated`: so many replicas have it (WAIT). They may hold it in memory.
 *
 * Asked at every (re)connect, because a failover or a CONFIG SET can change it; until the answer is there, nothing
 * beyond `memory` is claimed. Where CONFIG is forbidden, what the operator declares counts.
 */
import type { Redis } from 'ioredis'
import type { Log } from '../log.ts'
import type { StreamDefinition } from '../topology.ts'
import type { DurabilityLevel } from '../topology-options.ts'
import { rowFrom } from './reader.ts'
import { ReplicaCount } from './replicas.ts'

/** What an appender has to do for one stream, at this moment. */
export interface DurabilityPlan {
  /** What an answer may claim once `wait` is met. */
  level: DurabilityLevel
  /** Sent right behind each flush, on the same connection. */
  wait?: { command: 'WAIT' | 'WAITAOF'; replicas: number }
  /** Why the stream cannot be had as durable as it has to be: nothing may be appended. */
  unmet?: string
}

/**
 * WAIT numreplicas timeout, or WAITAOF numlocal numreplicas timeout
 * Sent on the socket of the flush right behind it, it speaks of that flush, and both fail if the socket does. On timeout
 * Redis answers a smaller number, and the events stay stored: false.
 */
export async function waitFor(redis: Redis, { wait }: DurabilityPlan, waitMs: number): Promise<boolean> {
  if (wait === undefined) return true
  if (wait.command === 'WAIT') return (await redis.wait(wait.replicas, waitMs)) >= wait.replicas
  const [local = 0] = (await redis.call('WAITAOF', 1, wait.replicas, waitMs)) as number[]
  return local >= 1
}

export interface Durability {
  planFor: (stream: StreamDefinition) => DurabilityPlan
  /** Asks Redis now. Never rejects: what cannot be seen is not claimed. */
  check: () => Promise<void>
  /** Asks once a second how many replicas there are, besides at every (re)connect. */
  watchReplicas: () => void
  stop: () => void
}

interface Server {
  /** Every write is on disk before its answer. */
  fsyncs: boolean
  /** Knows WAITAOF and has an append-only file. */
  waitsForDisk: boolean
  /** Undefined when Redis does not say. */
  settings?: Map<string, string>
}

const unasked: Server = { fsyncs: false, waitsForDisk: false }
const WATCH_EVERY_MS = 1_000

export interface DurabilityOptions {
  /** The connection the flushes travel on. */
  redis: Redis
  isCluster: boolean
  /** The operator's DURABILITY; `auto` claims the strongest that can be seen. */
  declared: DurabilityLevel | 'auto'
  /** Told what there is to say about the server, whenever it may have changed. */
  remark: (lines: string[], fsyncs: boolean) => void
}

export function createDurability({ redis, isCluster, declared, remark }: DurabilityOptions): Durability {
  let server = unasked
  let timer: NodeJS.Timeout | undefined
  const replicas = new ReplicaCount(redis, isCluster)

  async function check(): Promise<void> {
    const settings = await settingsOf(redis)
    if (redis.status !== 'ready') return
    const fsyncs = settings === undefined ? declared === 'fsync' : hasSettings(settings, fsyncSettings)
    const [waitsForDisk] = await Promise.all([knowsWaitAof(redis), replicas.ask()])
    server = { fsyncs, waitsForDisk: waitsForDisk && settings?.get('appendonly') !== 'no', settings }
    remark(remarks(server, declared), fsyncs)
  }

  redis.on('close', () => {
    server = unasked
    replicas.forget()
  })
  redis.on('ready', check)
  return {
    planFor: (stream) => planFor(server, replicas.all, stream, declared),
    check,
    watchReplicas() {
      timer ??= setInterval(() => redis.status === 'ready' && void replicas.ask(), WATCH_EVERY_MS)
    },
    stop: () => clearInterval(timer)
  }
}

/** Says each thing once for all servers, and again when it had stopped being so everywhere. */
export function createRemarks(log: Log): (redis: Redis) => DurabilityOptions['remark'] {
  const said = new Map<Redis, string>()
  return (redis) => (lines, fsyncs) => {
    const text = lines.join('; ')
    const isNew = !Array.from(said.values()).includes(text)
    said.set(redis, text)
    if (isNew) for (const line of lines) log.info({ durability: fsyncs ? 'fsync' : 'memory' }, line)
  }
}

function planFor(
  server: Server,
  allReplicas: number | undefined,
  stream: StreamDefinition,
  declared: DurabilityLevel | 'auto'
): DurabilityPlan {
  const wanted = stream.durability ?? (declared === 'auto' ? undefined : declared)
  if (wanted === undefined) return { level: server.fsyncs ? 'fsync' : 'memory' }
  if (wanted === 'memory') return { level: 'memory' }
  if (wanted === 'fsync') {
    if (server.fsyncs) return { level: 'fsync' }
    if (server.waitsForDisk) return { level: 'fsync', wait: { command: 'WAITAOF', replicas: 0 } }
    return { level: 'memory', unmet: whyNoFsync(server) }
  }
  const replicas = stream.replicas === 'all' ? allReplicas : stream.replicas
  if (replicas === undefined)
    return {
      level: 'memory',
      unmet: 'Redis does not say how many replicas it has (INFO, CLUSTER NODES): give a number'
    }
  return { level: 'replicated', wait: { command: 'WAIT', replicas } }
}

const fsyncSettings = { appendonly: 'yes', appendfsync: 'always', 'no-appendfsync-on-rewrite': 'no' }

function hasSettings(settings: Map<string, string>, wanted: Record<string, string>): boolean {
  return Object.entries(wanted).every(([name, value]) => settings.get(name) === value)
}

function whyNoFsync({ settings }: Server): string {
  if (settings === undefined)
    return 'Redis does not say how it stores (CONFIG GET is not allowed); declare it with DURABILITY=fsync'
  const wrong = Object.entries(fsyncSettings).filter(([name, value]) => settings.get(name) !== value)
  const has = wrong.map(([name]) => `${name} ${settings.get(name)}`).join(', ')
  const needs = wrong.map(([name, value]) => `${name} ${value}`).join(', ')
  return `Redis has ${has}: set ${needs}, or ask the stream for less`
}

function remarks({ settings, fsyncs }: Server, declared: DurabilityLevel | 'auto'): string[] {
  if (settings === undefined) {
    const believed = declared === 'auto' ? "claiming 'memory'" : `believing DURABILITY=${declared}`
    return [`Redis does not say how it stores (CONFIG GET is not allowed): ${believed}`]
  }
  const lines = [
    fsyncs ? 'Redis writes every event to disk before it answers' : 'Redis may lose the last events if it stops'
  ]
  const policy = settings.get('maxmemory-policy')
  if (policy !== undefined && policy !== 'noeviction')
    lines.push(`Redis may evict whole streams: maxmemory-policy is ${policy}, set it to noeviction`)
  return lines
}

/** CONFIG GET, or undefined when it is not allowed. */
async function settingsOf(redis: Redis): Promise<Map<string, string> | undefined> {
  try {
    const names = [...Object.keys(fsyncSettings), 'maxmemory-policy']
    const replies = (await Promise.all(names.map((name) => redis.config('GET', name)))) as string[][]
    return new Map(
      replies.flatMap((reply) => Object.entries(rowFrom(reply)).map(([name, value]) => [name, String(value)]))
    )
  } catch {
    return undefined
  }
}

/** COMMAND INFO answers null for a command the server does not know; where COMMAND is forbidden, it counts as unknown. */
async function knowsWaitAof(redis: Redis): Promise<boolean> {
  try {
    const reply = (await redis.call('COMMAND', 'INFO', 'waitaof')) as unknown[]
    return reply[0] !== null && reply[0] !== undefined
  } catch {
    return false
  }
}
