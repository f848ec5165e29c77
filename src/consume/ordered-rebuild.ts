/**
 * The rebuild of one partition, by the owner of its lease, while none of its handlers runs: the group's `rebuild` folds
 * everything the group has handled, from the first entry of the stream to the last one read, without what is pending
 * (its handler is still to see it) and without dead letters (they are reported).
 */

import type { GroupDefinition } from '../group-definition.ts'
import { eventFromFields, receivedEvent } from '../streams/entry.ts'
import type { GroupAddress } from '../streams/groups.ts'
import type { Lease } from '../streams/leases.ts'
import { rowFrom } from '../streams/reader.ts'
import { endRebuild } from '../streams/rebuilds.ts'
import type { CallEnvironment } from './call.ts'

const PAGE = 500
/** Failures of one rebuild in one process before it is given up, so that the group can go on. */
const TRIES = 3

export interface RebuildOptions {
  at: GroupAddress
  lease: Lease
  partition: number
  definition: GroupDefinition
  environment: Omit<CallEnvironment, 'assertOwned'>
  /** Aborts when the partition is to be left. */
  signal: AbortSignal
  /** Has this entry been read and not finished? */
  isPending: (entryId: string) => boolean
}

/** Rebuilds and records how it went. Rejects when it was cut off; it is still wanted then, and nothing is recorded. */
export async function rebuildPartition(options: RebuildOptions, id: string): Promise<void> {
  const { at, lease, definition, signal, environment } = options
  const about = { stream: at.keys.stream, group: definition.name, rebuild: id }
  if (definition.rebuild === undefined) {
    await endRebuild(at, lease, id, { error: `the group '${definition.name}' has no rebuild` })
    return
  }
  for (let attempt = 1; ; attempt += 1) {
    try {
      const result = await fold(options, definition.rebuild)
      signal.throwIfAborted()
      await endRebuild(at, lease, id, result)
      environment.log.info({ ...about, events: result.events, dead: result.deadEntryIds.length }, 'Partition rebuilt')
      return
    } catch (err) {
      signal.throwIfAborted()
      if (attempt < TRIES) continue
      environment.log.error({ ...about, err }, 'A rebuild failed; the group goes on with what it had')
      await endRebuild(at, lease, id, { error: err instanceof Error ? err.message : String(err) })
      return
    }
  }
}

async function fold(
  { at, lease, partition, environment, signal, isPending }: RebuildOptions,
  rebuild: NonNullable<GroupDefinition['rebuild']>
): Promise<{ events: number; deadEntryIds: string[] }> {
  const until = await cursorOf(at)
  const dead = await deadEntryIds(at)
  const skipped: string[] = []
  let events = 0
  async function* handled() {
    let from = '-'
    for (;;) {
      signal.throwIfAborted()
      const rows = await at.redis.xrange(at.keys.stream, from, until, 'COUNT', PAGE)
      for (const [entryId, fields] of rows) {
        if (isPending(entryId)) continue
        if (dead.has(entryId)) skipped.push(entryId)
        else {
          events += 1
          yield { entryId, event: receivedEvent(eventFromFields(fields)) }
        }
      }
      const last = rows.at(-1)
      if (last === undefined || rows.length < PAGE) return
      from = `(${last[0]}`
    }
  }
  const { stream, group, log, redis, key } = environment
  await rebuild(handled(), { stream, group, partition, fence: lease.generation, signal, log, redis, key })
  return { events, deadEntryIds: skipped }
}

/** Up to where the group has read. */
async function cursorOf({ redis, keys, group }: GroupAddress): Promise<string> {
  const infos = ((await redis.xinfo('GROUPS', keys.stream)) as unknown[][]).map(rowFrom)
  const own = infos.find((row) => row.name === group)
  return String(own?.['last-delivered-id'] ?? '0-0')
}

async function deadEntryIds({ redis, keys, group }: GroupAddress): Promise<Set<string>> {
  const found = new Set<string>()
  let from = '-'
  for (;;) {
    const rows = await redis.xrange(keys.group(group).dead, from, '+', 'COUNT', PAGE)
    for (const [, fields] of rows) found.add(String(fields[fields.indexOf('dead.entryId') + 1]))
    const last = rows.at(-1)
    if (last === undefined || rows.length < PAGE) return found
    from = `(${last[0]}`
  }
}
