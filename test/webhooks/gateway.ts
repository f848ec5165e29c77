/**
 * The whole application with webhook sources on a real Redis, and what it logged.
 */
import { Writable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import { pino } from 'pino'
import type { Test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { type CloudEvent, eventFromFields } from '../../src/streams/entry.ts'
import { defineTopology } from '../../src/topology.ts'
import type { TopologyOptions } from '../../src/topology-options.ts'
import { keysJson } from '../fixtures/app.ts'
import { type RedisServer, testRedis } from '../fixtures/redis.ts'

export interface Gateway {
  app: FastifyInstance
  redis: Redis
  server: RedisServer
  prefix: string
  /** Every line logged so far, at any level. */
  logged: () => string
  /** The events of a source's own stream. */
  stored: (source: string) => Promise<CloudEvent[]>
}

/** `env` holds the secrets, and any other setting. */
export async function gateway(
  t: Pick<Test, 'teardown'>,
  topology: Partial<TopologyOptions>,
  env: Record<string, string> = {}
): Promise<Gateway> {
  const { redis, url, prefix, server } = await testRedis(t)
  let lines = ''
  const log = pino(
    { level: 'trace' },
    new Writable({
      write(chunk, _encoding, done) {
        lines += chunk
        done()
      }
    })
  )
  const config = loadConfig({
    REDIS_URL: url,
    KEY_PREFIX: prefix,
    TOPOLOGY: 'given',
    COMMAND_TIMEOUT_MS: '500',
    API_KEYS: keysJson([{ name: 'admin', scopes: ['admin'] }]),
    ...env
  })
  const app = buildApp(config, { topology: defineTopology({ streams: {}, ...topology }), log })
  t.teardown(() => app.close())
  await app.ready()
  return {
    app,
    redis,
    server,
    prefix,
    logged: () => lines,
    async stored(source) {
      const rows = await redis.xrange(`${prefix}webhooks:${source}:event`, '-', '+')
      return rows.map(([, fields]) => eventFromFields(fields))
    }
  }
}

export const post = (
  { app }: Pick<Gateway, 'app'>,
  source: string,
  headers: Record<string, string | string[]>,
  payload: Buffer | string,
  search = ''
) => app.inject({ method: 'POST', url: `/webhooks/${source}${search}`, headers, payload })
