/**
 * Connections to Redis, one kind per use. A command that fails is never resent behind our back: whoever sent it knows
 * whether it may have run (redis-errors.ts) and whether sending it again is safe.
 */
import { Redis, type RedisOptions } from 'ioredis'
import type { Log } from '../topology.ts'

/** How long a blocking read may wait for the next entry. */
export const BLOCK_MS = 2_000

const options: RedisOptions = {
  lazyConnect: true,
  // A command sent while the connection is down fails at once and has surely not run.
  enableOfflineQueue: false,
  // A command whose connection dies fails at once; whether it ran is unknown. ioredis would resend, and double it.
  maxRetriesPerRequest: 0,
  // After a failover the old master answers READONLY: reconnect, and let the sender decide about its command.
  reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 1 : false),
  retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
  connectTimeout: 2_000
}

/** `redis://`, `rediss://` or `unix:///path/to.sock`. */
export interface ConnectionTarget {
  url: string
  /** PEM text of the certificate authority for `rediss://`. */
  ca?: string
}

export interface Connections {
  /** Appends only: nothing slow ever waits in front of a producer. */
  append: Redis
  /** Appends that wait until they are on disk or on replicas. */
  appendWaiting: Redis
  /** What consumers tell Redis: acks, failures, heartbeats, takeovers. */
  consume: Redis
  /** Lookups by operators. */
  admin: Redis
  /** What handlers of the topology get. */
  handlers: Redis
  /** A connection of its own for one blocking reader; the one who opens it closes it. */
  openReader: (name: string) => Redis
  connect: () => Promise<void>
  close: () => Promise<void>
}

/** Opens nothing yet; `connect` does. Connections name themselves `headgate:<use>` in CLIENT LIST. */
export function createConnections(target: ConnectionTarget, log: Log): Connections {
  const open = (use: string, more: RedisOptions): Redis => {
    const redis = connection(target, { ...options, connectionName: `headgate:${use}`, ...more })
    let failing = false
    redis.on('error', (err: Error) => {
      // One line when a connection breaks, not one per attempt to mend it.
      if (failing) return
      failing = true
      log.warn({ err, connection: use }, 'Redis connection lost, reconnecting')
    })
    redis.on('ready', () => {
      if (failing) log.info({ connection: use }, 'Redis connection is back')
      failing = false
    })
    return redis
  }
  const append = open('append', { socketTimeout: 10_000 })
  const appendWaiting = open('append-waiting', { socketTimeout: 10_000 })
  const consume = open('consume', { commandTimeout: 5_000, socketTimeout: 10_000 })
  const admin = open('admin', { commandTimeout: 10_000 })
  const handlers = open('handlers', { commandTimeout: 5_000 })
  const all = [append, appendWaiting, consume, admin, handlers]
  return {
    append,
    appendWaiting,
    consume,
    admin,
    handlers,
    // A read that Redis answered after we gave up would be delivered to nobody, so only a dead socket ends it.
    openReader: (name) => open(`read:${name}`, { socketTimeout: BLOCK_MS + 5_000 }),
    async connect() {
      await Promise.all(all.map((redis) => redis.connect()))
    },
    async close() {
      for (const redis of all) redis.disconnect()
    }
  }
}

function connection(target: ConnectionTarget, more: RedisOptions): Redis {
  const tls = target.ca === undefined ? {} : { tls: { ca: target.ca } }
  if (target.url.startsWith('unix://')) return new Redis({ ...more, path: target.url.slice('unix://'.length) })
  return new Redis(target.url, { ...more, ...tls })
}
