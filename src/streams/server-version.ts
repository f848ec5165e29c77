/** The Redis behind a connection has to be recent enough: older ones lack what the scripts rely on. */
import type { Redis } from 'ioredis'
import { StartupError } from '../startup-error.ts'

const REDIS = 7

/**
 * INFO server
 * Throws StartupError on Redis below 7.0. Every Valkey is recent enough. Where INFO is forbidden, nothing is checked.
 */
export async function checkServerVersion(redis: Redis): Promise<void> {
  const info = await redis.info('server').catch(() => '')
  const version = versionFrom(info)
  if (version !== undefined && Number.parseInt(version, 10) < REDIS)
    throw new StartupError(`Redis ${version} is too old: Headgate needs Redis 7.0 or Valkey 7.2.`)
}

/** The version of a Redis; undefined for a Valkey, which names a Redis version for compatibility only. */
export function versionFrom(info: string): string | undefined {
  if (/^server_name:valkey/m.test(info)) return undefined
  return /^redis_version:(\S+)/m.exec(info)?.[1]
}
