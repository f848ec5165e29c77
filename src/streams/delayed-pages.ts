/** What waits for a retry, as operators see it. Reads only. */
import { delayedEntryFrom } from './delayed.ts'
import { type CloudEvent, eventFromFields } from './entry.ts'
import type { GroupAddress } from './groups.ts'

export interface DelayedItem {
  entryId: string
  /** Redis milliseconds. */
  dueAt: number
  attempts: number
  crashes: number
  firstFailedAt: number
  /** JSON text of a FailureHistory. */
  errors: string
  event: CloudEvent
}

/**
 * A page, the next due first. An entry that is gone leaves with everything that was due before it, so a page after it
 * begins at the front. An entry that comes or goes in the meantime may be missed or seen twice.
 */
export async function listDelayed(
  { redis, keys, group }: GroupAddress,
  limit: number,
  after: string | undefined
): Promise<{ items: DelayedItem[]; lastId?: string }> {
  const { delayed, delayedEntries } = keys.group(group)
  const rank = after === undefined ? null : await redis.zrank(delayed, after)
  const start = rank === null ? 0 : rank + 1
  const rows = await redis.zrange(delayed, String(start), String(start + limit - 1), 'WITHSCORES')
  const ids = rows.filter((_, index) => index % 2 === 0)
  if (ids.length === 0) return { items: [] }
  const packed = await redis.hmget(delayedEntries, ...ids)
  const items = ids.flatMap((entryId, index) => {
    // Promoted in the meantime, or written by a newer Headgate, which alone can show it.
    const entry = delayedEntryFrom(packed[index] ?? '')
    if (entry === undefined) return []
    const { fields, attempts, crashes, errors, firstFailedAt } = entry
    const numbers = { attempts: Number(attempts), crashes: Number(crashes), firstFailedAt: Number(firstFailedAt) }
    return [{ entryId, dueAt: Number(rows[index * 2 + 1]), ...numbers, errors, event: eventFromFields(fields) }]
  })
  return { items, lastId: ids.length < limit ? undefined : ids.at(-1) }
}
