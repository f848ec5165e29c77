/**
 * Reading a stream without a group: single entries, and what became of them in each group. Reads only.
 */
import type { Redis } from 'ioredis'
import type { StreamDefinition } from '../topology.ts'
import { command } from './commands.ts'
import type { RedisOf } from './connections.ts'
import { type CloudEvent, eventFromFields } from './entry.ts'
import type { Keys } from './keys.ts'

export interface Entry {
  entryId: string
  event: CloudEvent
}

/**
 * Where an entry stands in a group: not yet read; being handled; waiting for a retry; about to be handled again; dead;
 * or acknowledged. An entry is in exactly one of these.
 */
export type EntryState = 'unread' | 'pending' | 'delayed' | 'requeued' | 'dead' | 'done'

export interface EntryInGroup {
  state: EntryState
  /** Who handles it, while pending. */
  consumer?: string
  /** When the retry is due, while delayed: Redis milliseconds. */
  dueAtMs?: number
  /** The dead letter's own id, once dead. */
  deadLetterId?: string
}

export interface Reader {
  /** The entry, or undefined when the stream does not (or no longer) hold it. */
  entry: (stream: string, entryId: string) => Promise<Entry | undefined>
  /** The newest entry of this event, looking back over the last 100,000 entries. */
  find: (stream: string, event: { source: string; id: string }) => Promise<Entry | undefined>
  /**
   * The entries of a physical stream in a range, oldest or newest first. `lastId`: there may be more after it; a page may
   * be empty and have one.
   */
  list: (stream: string, range: EntryRange) => Promise<{ entries: Entry[]; lastId?: string }>
  /** The id, in a stream of retries or dead letters, of what stems from an entry; `field` names the entry there. */
  search: (key: string, entryId: string, field: string) => Promise<string | undefined>
  /** What became of an entry in every group of the topology, whether or not the stream still holds it. */
  states: (stream: StreamDefinition, entryId: string) => Promise<Record<string, EntryInGroup>>
}

export interface EntryRange {
  from?: string
  to?: string
  order: 'asc' | 'desc'
  /** Fields an entry must have. */
  filter: { type?: string; subject?: string }
  limit: number
  /** Where the page before ended. */
  after?: string
}

type Found = ['found', string, string[]] | ['more', string] | ['none']

/** A page of 1,000 keeps Redis busy for about 2 ms. */
const PAGE = 1_000
const MAX_PAGES = 100
/** Pages of a filtered list that one request looks through. */
const MAX_LISTED_PAGES = 20

export function createReader(redisOf: RedisOf, keys: Keys): Reader {
  async function search(key: string, stop: string, fields: string[]): Promise<[string, string[]] | undefined> {
    const findPage = command<Found>(redisOf(key), 'find-entry')
    let from = '+'
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const reply = await findPage([key], [from, stop, PAGE, ...fields])
      if (reply[0] === 'found') return [reply[1], reply[2]]
      if (reply[0] === 'none') return undefined
      from = reply[1]
    }
    return undefined
  }

  async function stateIn(
    stream: string,
    group: string,
    cursor: string | undefined,
    entryId: string
  ): Promise<EntryInGroup> {
    if (cursor === undefined || isAfter(entryId, cursor)) return { state: 'unread' }
    const streamKeys = keys.of(stream)
    const own = streamKeys.group(group)
    const redis = redisOf(streamKeys.stream)
    const pending = (await redis.xpending(streamKeys.stream, group, entryId, entryId, 1)) as [
      string,
      string,
      number,
      number
    ][]
    if (pending[0] !== undefined) return { state: 'pending', consumer: pending[0][1] }
    const due = await redis.zscore(own.delayed, entryId)
    if (due !== null) return { state: 'delayed', dueAtMs: Number(due) }
    // Neither a retry nor a dead letter can be older than the entry itself.
    const since = `${entryId.split('-')[0]}-0`
    if ((await search(own.requeue, since, ['retry.entryId', entryId])) !== undefined) return { state: 'requeued' }
    const dead = await search(own.dead, since, ['dead.entryId', entryId])
    return dead === undefined ? { state: 'done' } : { state: 'dead', deadLetterId: dead[0] }
  }

  return {
    async entry(stream, entryId) {
      const key = keys.of(stream).stream
      const rows = await redisOf(key).xrange(key, entryId, entryId)
      const row = rows[0]
      return row === undefined ? undefined : { entryId: row[0], event: eventFromFields(row[1]) }
    },
    async find(stream, { source, id }) {
      const found = await search(keys.of(stream).stream, '-', ['id', id, 'source', source])
      return found === undefined ? undefined : { entryId: found[0], event: eventFromFields(found[1]) }
    },
    async search(key, entryId, field) {
      return (await search(key, `${entryId.split('-')[0]}-0`, [field, entryId]))?.[0]
    },
    async list(stream, { order, filter, limit, after, ...range }) {
      const key = keys.of(stream).stream
      const listPage = command<[string, number, [string, string[]][]]>(redisOf(key), 'list-entries')
      let { from = '-', to = '+' } = range
      let lastId = after
      const entries: Entry[] = []
      const isFiltered = Object.values(filter).some((value) => value !== undefined)
      for (let pages = 0; pages < MAX_LISTED_PAGES && entries.length < limit; pages += 1) {
        if (lastId !== undefined && order === 'desc') to = `(${lastId}`
        else if (lastId !== undefined) from = `(${lastId}`
        const wanted = limit - entries.length
        const [last, more, rows] = await listPage(
          [key],
          [order, from, to, isFiltered ? PAGE : wanted, wanted, JSON.stringify(filter)]
        )
        for (const [entryId, fields] of rows) entries.push({ entryId, event: eventFromFields(fields) })
        if (more === 0) return { entries }
        lastId = last
      }
      return { entries, lastId }
    },
    async states(stream, entryId) {
      const key = keys.of(stream.name).stream
      const cursors = await groupCursors(redisOf(key), key)
      const states: Record<string, EntryInGroup> = {}
      for (const group of stream.groups.keys()) {
        states[group] = await stateIn(stream.name, group, cursors.get(group), entryId)
      }
      return states
    }
  }
}

async function groupCursors(redis: Redis, stream: string): Promise<Map<string, string>> {
  const cursors = new Map<string, string>()
  if ((await redis.exists(stream)) === 0) return cursors
  for (const info of (await redis.xinfo('GROUPS', stream)) as unknown[][]) {
    const row = rowFrom(info)
    cursors.set(String(row.name), String(row['last-delivered-id']))
  }
  return cursors
}

/** A flat `[name, value, ...]` reply of XINFO as an object. */
export function rowFrom(info: readonly unknown[]): Record<string, unknown> {
  const row: Record<string, unknown> = {}
  for (let i = 0; i < info.length; i += 2) row[String(info[i])] = info[i + 1]
  return row
}

/** True if entry id `a` comes after entry id `b`. */
export function isAfter(a: string, b: string): boolean {
  const [ams = '0', aseq = '0'] = a.split('-')
  const [bms = '0', bseq = '0'] = b.split('-')
  if (ams !== bms) return Number(ams) > Number(bms)
  return BigInt(aseq) > BigInt(bseq)
}
