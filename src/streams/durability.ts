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
import type { DurabilityLevel, Log, StreamDefinition } from '../topology.ts'
import { rowFrom } from './reader.ts'

/** What an appender has to do for one stream, at this moment. */
export interface DurabilityPlan {
  /** What an answer may claim once `wait` is met. */
  level: DurabilityLevel
  /** Sent right behind each flush, on the same connection. */
  wait?: { command: 'WAIT' | 'WAITAOF'; replicas: number }
  /** Why the stream cannot be had as durable as it has to be: nothing may be appended. */
  unmet?: string
}

export interface Durability {
  planFor: (stream: StreamDefinition) => DurabilityPlan
  /** Asks Redis now. Never rejects: what cannot be seen is not claimed. */
  check: () => Promise<void>
}

interface Server {
  /** Every write is on disk before its answer. */
  fsyncs: boolean
  /** Knows WAITAOF and has an append-only file. */
  waitsForDisk: boolean
  replicas: number
  /** Undefined when Redis does not say. */
  settings?: Map<string, string>
}

const unasked: Server = { fsyncs: false, waitsForDisk: false, replicas: 0 }

/** `declared`: the operator's DURABILITY; `auto` claims the strongest that can be seen. */
export function createDurability(redis: Redis, declared: DurabilityLevel | 'auto', log: Log): Durability {
  let server = unasked
  let said = ''

  async function check(): Promise<void> {
    const settings = await settingsOf(redis)
    if (redis.status !== 'ready') return
    const always = settings === undefined ? declared === 'fsync' : hasSettings(settings, fsyncSettings)
    const [waitsForDisk, replicas] = await Promise.all([knowsWaitAof(redis), replicaCount(redis)])
    server = { fsyncs: always, waitsForDisk: waitsForDisk && settings?.get('appendonly') !== 'no', replicas, settings }
    say()
  }

  /** One line whenever the answer changes, not one per reconnect. */
  function say(): void {
    const lines = remarks(server, declared)
    const text = lines.join('; ')
    if (text === said) return
    said = text
    const fields = { durability: server.fsyncs ? 'fsync' : 'memory' }
    for (const line of lines) log.info(fields, line)
  }

  redis.on('close', () => {
    server = unasked
  })
  redis.on('ready', check)
  return { planFor: (stream) => planFor(server, stream, declared), check }
}

function planFor(server: Server, stream: StreamDefinition, declared: DurabilityLevel | 'auto'): DurabilityPlan {
  const wanted = stream.durability ?? (declared === 'auto' ? undefined : declared)
  if (wanted === undefined) return { level: server.fsyncs ? 'fsync' : 'memory' }
  if (wanted === 'memory') return { level: 'memory' }
  if (wanted === 'fsync') {
    if (server.fsyncs) return { level: 'fsync' }
    if (server.waitsForDisk) return { level: 'fsync', wait: { command: 'WAITAOF', replicas: 0 } }
    return { level: 'memory', unmet: whyNoFsync(server) }
  }
  const replicas = stream.replicas === 'all' ? Math.max(1, server.replicas) : stream.replicas
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

async function replicaCount(redis: Redis): Promise<number> {
  try {
    return Number(/connected_slaves:(\d+)/.exec(await redis.info('replication'))?.[1] ?? 0)
  } catch {
    return 0
  }
}
