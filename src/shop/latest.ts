import type { HandlerContext } from '../topology-options.ts'

const KEEP = `
local at = redis.call('HGET', KEYS[1], 'at')
if at and tonumber(at) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'at', ARGV[1], unpack(ARGV, 2))
return 1`

/**
 * Sets fields of the hash `name` unless it holds something newer: retries and other processes mix up the order in which
 * events are handled. `at` is an RFC 3339 time. Atomic; the same event twice changes nothing.
 */
export async function keepLatest(
  { redis, key }: Pick<HandlerContext, 'redis' | 'key'>,
  name: string,
  at: string,
  fields: Record<string, string | number>
): Promise<void> {
  await redis.eval(KEEP, 1, key(name), Date.parse(at), ...Object.entries(fields).flat())
}
