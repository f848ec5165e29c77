/**
 * Connections to Redis, one kind per use. A command that fails is never resent behind our back: whoever sent it knows
 * whether it may have run (redis-errors.ts) and whether sending it again is safe.
 *
 * On one server, and on the master that Sentinels name, all streams share one connection per use. On a Cluster each
 * stream has its own, which follows the stream's slot from master to master. So everywhere a connection's state is that
 * of exactly the server its stream is on, and what was sent on it in a row went there in a row.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis, RedisOptions } from 'ioredis'
import type { Log } from '../log.ts'
import { createConnectionLog } from './connection-log.ts'
import { type HandlerRedis, serverFrom } from './redis-forms.ts'
import { redisTarget } from './redis-url.ts'

export { BLOCK_MS, type HandlerRedis } from './redis-forms.ts'

/** How long `connect` waits for a server that answers nothing at all. */
const PATIENCE_MS = 3_000

/** What differs between the uses. */
const uses = {
  append: {},
  'append-waiting': {},
  consume: { commandTimeout: 5_000 },
  admin: { commandTimeout: 10_000, socketTimeout: 12_000 }
} satisfies Record<string, RedisOptions>

type Use = keyof typeof uses

export interface ConnectionTarget {
  /** See redis-url.ts. */
  url: string
  /** PEM text of the certificate authority for the forms with TLS. */
  ca?: string
}

/** The connection to the server that holds a key: always the same one for the same key. */
export type RedisOf = (key: string) => Redis

export interface Connections {
  /** Appends only: nothing slow ever waits in front of a producer. */
  append: RedisOf
  /** Appends that wait until they are on disk or on replicas. */
  appendWaiting: RedisOf
  /** What consumers tell Redis: acks, failures, heartbeats, takeovers. */
  consume: RedisOf
  /** Lookups by operators. */
  admin: RedisOf
  /** What handlers of the topology get. */
  handlers: HandlerRedis
  /** A connection of its own for one blocking reader of the key; the one who opens it closes it. */
  openReader: (name: string, key: string) => Redis
  /** Keys with the same home can be read in one command. */
  homeOf: (key: string) => string
  /** Streams are on servers of their own. */
  isCluster: boolean
  /** Per use: does every connection of it stand? */
  states: () => [use: string, up: boolean][]
  /**
   * Resolves after the first attempt of every connection, at the latest after 3 s; what is not up then goes on trying.
   * Rejects when none is. A connection that is first asked for later connects at once.
   */
  connect: () => Promise<void>
  close: () => Promise<void>
}

/**
 * Opens nothing yet; `connect` does. Connections name themselves `headgate:<use>` in CLIENT LIST.
 * Throws when the URL cannot be used.
 */
export function createConnections(target: ConnectionTarget, log: Log): Connections {
  const server = serverFrom(redisTarget(target.url), target.ca, createConnectionLog(log))
  const opened = new Map<string, Redis>()
  let isOpen = false
  const connectionOf = (use: Use, key: string): Redis => {
    const name = `${use} ${server.homeOf(key)}`
    let redis = opened.get(name)
    if (redis === undefined) {
      redis = server.open(use, key, uses[use])
      opened.set(name, redis)
      if (isOpen) redis.connect().catch(() => undefined)
    }
    return redis
  }
  if (!server.isCluster) for (const use of Object.keys(uses) as Use[]) connectionOf(use, '')
  const handlers = server.openHandlers()
  return {
    append: (key) => connectionOf('append', key),
    appendWaiting: (key) => connectionOf('append-waiting', key),
    consume: (key) => connectionOf('consume', key),
    admin: (key) => connectionOf('admin', key),
    handlers,
    // A read that Redis answered after we gave up would be delivered to nobody, so only a dead socket ends it.
    openReader: (name, key) => server.open(`read:${name}`, key, {}),
    homeOf: server.homeOf,
    isCluster: server.isCluster,
    states() {
      const up = new Map([['handlers', handlers.status === 'ready']])
      for (const [name, { status }] of opened) {
        const use = name.split(' ', 1)[0] as string
        up.set(use, up.get(use) !== false && status === 'ready')
      }
      return [...up]
    },
    async connect() {
      isOpen = true
      server.start()
      const attempts = async () => {
        await Promise.all(Array.from(opened.values(), firstAttempt))
        // Of a Cluster the others can say what is wrong; ioredis' client, which handlers get, only that something is.
        if (isOpen) await firstAttempt(handlers)
      }
      const all = [...opened.values(), handlers]
      await Promise.race([attempts(), sleep(PATIENCE_MS, undefined, { ref: false })])
      if (!all.some(({ status }) => status === 'ready')) throw new Error('Redis cannot be reached')
    },
    async close() {
      isOpen = false
      server.stop()
      for (const redis of [handlers, ...opened.values()]) redis.disconnect()
    }
  }
}

/** Resolves when the attempt to connect that is under way, if one is, has succeeded or failed. */
export function attempted(redis: Redis): Promise<void> {
  if (redis.status !== 'connecting' && redis.status !== 'connect') return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      redis.off('ready', done)
      redis.off('close', done)
      resolve()
    }
    redis.on('ready', done)
    redis.on('close', done)
  })
}

/** Begins to connect. A Cluster's own promise stays open when its first attempt fails late, so the events tell. */
function firstAttempt(redis: HandlerRedis): Promise<void> {
  const attempt = new Promise<void>((resolve) => {
    redis.once('ready', resolve)
    redis.once('close', resolve)
  })
  redis.connect().catch(() => undefined)
  return attempt
}

/** Resolves when the connection is ready, or after `ms` at the latest. */
export function untilReady(redis: Redis, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      redis.off('ready', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    redis.once('ready', done)
  })
}
