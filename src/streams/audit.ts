/**
 * The audit: what operators changed, who, from where and with what result, in one capped stream.
 */
import type { RedisOf } from './connections.ts'
import type { Keys } from './keys.ts'
import { rowFrom } from './reader.ts'

export interface AuditRecord {
  /** Name of the API key. */
  key: string
  address: string
  requestId: string
  /** The operation, as openapi.yaml names it. */
  operation: string
  stream?: string
  group?: string
  /** Parameters and body, JSON text. */
  arguments: string
  /** HTTP status. */
  status: number
  /** The answer, JSON text, cut to 2,000 characters. */
  result: string
}

export interface AuditEntry extends AuditRecord {
  id: string
}

export interface Audit {
  record: (entry: AuditRecord) => Promise<void>
  /** Newest first; `before` is the id of the last entry of the page before. */
  list: (page: { limit: number; before?: string }) => Promise<AuditEntry[]>
}

/** About 20 MB at most. */
const KEPT = 10_000
const MAX_TEXT = 2_000

export function createAudit(redisOf: RedisOf, keys: Keys): Audit {
  const redis = redisOf(keys.audit)
  return {
    async record({ status, result, arguments: given, ...rest }) {
      const fields = Object.entries({
        ...rest,
        arguments: given.slice(0, MAX_TEXT),
        status,
        result: result.slice(0, MAX_TEXT)
      })
      const flat = fields.flatMap(([name, value]) => (value === undefined ? [] : [name, value]))
      await redis.xadd(keys.audit, 'MAXLEN', '~', KEPT, '*', ...flat)
    },
    async list({ limit, before }) {
      const rows = await redis.xrevrange(keys.audit, before === undefined ? '+' : `(${before}`, '-', 'COUNT', limit)
      return rows.map(([id, fields]) => {
        const row = rowFrom(fields) as Record<string, string>
        return { ...row, id, status: Number(row.status) } as AuditEntry
      })
    }
  }
}
