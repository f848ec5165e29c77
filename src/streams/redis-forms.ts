/**
 * The forms of REDIS_URL: one server, the master that Sentinels name, and a Cluster; and what every connection has in
 * common.
 */
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import type { ConnectionLog } from './connection-log.ts'
import { type ConnectorClass, PatientSentinelConnector, slotConnector } from './connectors.ts'
import type { RedisTarget } from './redis-url.ts'
import { nameOf, SlotMap } from './slot-map.ts'
import { slotOf } from './slots.ts'

/** How long a blocking read may wait for the next entry. */
export const BLOCK_MS = 2_000
/** A server that owes an answer this long is given up. */
const SILENCE_MS = BLOCK_MS + 5_000
const CONNECT_TIMEOUT_MS = 2_000

const options: RedisOptions = {
  lazyConnect: true,
  // A command sent while the connection is down fails at once and has surely not run.
  enableOfflineQueue: false,
  // A command whose connection dies fails at once; whether it ran is unknown. ioredis would resend, and double it.
  maxRetriesPerRequest: 0,
  // This server is not, or no longer, the master: reconnect, and let the sender decide about its command.
  reconnectOnError: (error) => (/^(READONLY|MOVED)\b/.test(error.message) ? 1 : false),
  retryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
  connectTimeout: CONNECT_TIMEOUT_MS,
  socketTimeout: SILENCE_MS,
  // Two commands less that a Redis user needs rights for; the name says who we are.
  disableClientInfo: true
}

/** Reaches keys on every server. On a Cluster, the keys of one command or script have to share a slot. */
export type HandlerRedis = Redis | Cluster

/** What the forms of REDIS_URL differ in. Every group and every appender listens to its connection: they are many. */
export interface Server {
  isCluster: boolean
  homeOf: (key: string) => string
  open: (use: string, key: string, more: RedisOptions) => Redis
  openHandlers: () => HandlerRedis
  start: () => void
  stop: () => void
}

export function serverFrom(target: RedisTarget, ca: string | undefined, log: ConnectionLog): Server {
  if (target.kind === 'cluster') return clusterServer(target, ca, log)
  const node = target.kind === 'sentinel' ? target.name : 'redis'
  const open: Server['open'] = (use, _key, more) => {
    const redis = connection(target, ca, { ...options, connectionName: `headgate:${use}`, ...more })
    redis.setMaxListeners(0)
    log.watch(redis, { use, nodeOf: () => node })
    return redis
  }
  return {
    isCluster: false,
    homeOf: () => '',
    open,
    openHandlers: () => open('handlers', '', { commandTimeout: 5_000 }),
    start() {},
    stop() {}
  }
}

function connection(
  target: Exclude<RedisTarget, { kind: 'cluster' }>,
  ca: string | undefined,
  more: RedisOptions
): Redis {
  if (target.kind === 'socket') return new Redis({ ...more, path: target.path })
  if (target.kind === 'server') return new Redis(target.url, { ...more, ...(ca === undefined ? {} : { tls: { ca } }) })
  const { sentinels, name, db, username, password, sentinelUsername, sentinelPassword } = target
  const tls = target.tls ? { tls: { ca }, sentinelTLS: { ca }, enableTLSForSentinelMode: true } : {}
  return new Redis({
    ...more,
    ...tls,
    ...{ sentinels, name, db, username, password, sentinelUsername, sentinelPassword },
    role: 'master',
    sentinelCommandTimeout: CONNECT_TIMEOUT_MS,
    // Once no Sentinel answered, the attempt has failed; `retryStrategy` says when the next one is.
    sentinelRetryStrategy: () => null,
    Connector: PatientSentinelConnector as ConnectorClass
  })
}

function clusterServer(
  target: Extract<RedisTarget, { kind: 'cluster' }>,
  ca: string | undefined,
  log: ConnectionLog
): Server {
  const { nodes, username, password } = target
  const access = { username, password, ...(target.tls ? { tls: { ca } } : {}) }
  const map = new SlotMap(nodes, access)
  const nodeOf = (slot: number) => {
    const owner = map.lastOwnerOf(slot)
    return owner === undefined ? 'cluster' : nameOf(owner)
  }
  return {
    isCluster: true,
    homeOf: (key) => String(slotOf(key)),
    open(use, key, more) {
      const slot = slotOf(key)
      const Connector = slotConnector(map, slot, access.tls)
      const redis = new Redis({ ...options, ...access, connectionName: `headgate:${use}`, ...more, Connector })
      redis.setMaxListeners(0)
      log.watch(redis, { use: `${use} ${key}`, nodeOf: () => nodeOf(slot) })
      return redis
    },
    openHandlers() {
      const redisOptions = { ...access, ...handlerOptions, connectionName: 'headgate:handlers' }
      const cluster = new Cluster(nodes, {
        lazyConnect: true,
        redisOptions,
        // A command that may have run is not sent again. (One that was redirected or refused has not run, and is.)
        retryDelayOnFailover: 0,
        // Certificates are for the names of the nodes.
        ...(target.tls ? { dnsLookup: (host, done) => done(null, host) } : {})
      })
      log.watch(cluster, { use: 'handlers', nodeOf: () => 'cluster' })
      return cluster
    },
    start: () => map.start(),
    stop: () => map.stop()
  }
}

const handlerOptions: RedisOptions = {
  disableClientInfo: true,
  commandTimeout: 5_000,
  connectTimeout: CONNECT_TIMEOUT_MS,
  socketTimeout: SILENCE_MS
}
