/**
 * The blocking connection of one group in one process.
 *
 * COUNT is per stream, and two streams are read at once (the requeue stream and the stream), so a read asks for half of
 * the free slots each and never brings more than fit. While there is a backlog nothing needs to block, and a script reads
 * both (read.lua), which costs this process half as much.
 */
import type { Redis } from 'ioredis'
import { command } from '../streams/commands.ts'
import { BLOCK_MS } from '../streams/connections.ts'
import type { GroupAddress } from '../streams/groups.ts'
import type { PendingEntry, Side } from '../streams/pending.ts'

const UNBLOCK_EVERY_MS = 20
const MAX_PACKED_LENGTH = 4_096

export interface ReaderOptions {
  at: GroupAddress
  consumer: string
  /** Nobody else uses it; the reader connects and closes it. */
  connection: Redis
  /** The connection is there, for the first time or again. */
  onReady: () => void
}

type Row = [id: string, fields: string[]]
type ReadReply = [string, Row[]][] | null

/** An empty list of Lua's arrives as {}. */
function entriesOf(side: Side, rows: Row[] | Record<string, never>): PendingEntry[] {
  if (!Array.isArray(rows)) return []
  return rows.map(([id, fields]) => ({ side, id, deliveries: 1, fields }))
}

/** Lua encodes about 200 MB/s: a read of large entries would hold up everybody else's commands. */
function isSmall(entries: PendingEntry[]): boolean {
  const fields = entries.at(-1)?.fields ?? []
  return fields.reduce((sum, text) => sum + text.length, 0) < MAX_PACKED_LENGTH
}

export class Reader {
  readonly #options: ReaderOptions
  #reading = false
  #stopping = false
  #clientId?: unknown
  #requeueFirst = true
  /** The last read brought as much as it asked for, so there is more, and of a size that Lua may take in hand. */
  #backlog = false

  constructor(options: ReaderOptions) {
    this.#options = options
  }

  get ready(): boolean {
    return this.#options.connection.status === 'ready'
  }

  /** A read is under way: what it brings may be ours in Redis before we know. */
  get reading(): boolean {
    return this.#reading
  }

  start(): void {
    const { connection, onReady } = this.#options
    connection.on('ready', () => {
      this.#askClientId()
      onReady()
    })
    // A first attempt that fails is followed by others; `ready` tells.
    connection.connect().catch(() => undefined)
  }

  /** Ends the blocked read, if there is one. */
  interrupt(): void {
    this.#unblock()
  }

  /** Ends the blocked read, so that the loop which awaits it can end; no read begins after this. */
  async stop(loop: Promise<void> | undefined): Promise<void> {
    const { connection } = this.#options
    this.#stopping = true
    this.#unblock()
    const again = setInterval(() => this.#unblock(), UNBLOCK_EVERY_MS)
    // A server that does not answer must not hold up the stop. What it still delivers here is taken over when stale.
    const giveUp = setTimeout(() => connection.disconnect(), BLOCK_MS + 500)
    await loop
    clearInterval(again)
    clearTimeout(giveUp)
    connection.disconnect()
  }

  /**
   * XREADGROUP GROUP group consumer COUNT n [BLOCK ms] STREAMS ... > ...
   * Up to `slots` new entries, waiting BLOCK_MS for the first. When the answer is lost, Redis holds them for us and we do
   * not know them.
   */
  async read(slots: number, requeueOnly: boolean): Promise<PendingEntry[]> {
    const { stream } = this.#options.at.keys
    const { requeue } = this.#options.at.keys.group(this.#options.at.group)
    if (requeueOnly) return this.#read(slots, [requeue], true)
    if (slots > 1) return this.#readBoth(slots, [requeue, stream])
    // One slot: the two streams take turns in being asked first, and only when both are empty may it block on both.
    const order = this.#requeueFirst ? [requeue, stream] : [stream, requeue]
    this.#requeueFirst = !this.#requeueFirst
    for (const key of order) {
      const entries = await this.#read(1, [key], false)
      if (entries.length > 0) return entries
    }
    return this.#read(1, order, true)
  }

  async #readBoth(slots: number, keys: [requeue: string, stream: string]): Promise<PendingEntry[]> {
    if (this.#backlog) {
      const entries = await this.#readNow(slots)
      this.#backlog = entries.length === slots && isSmall(entries)
      if (entries.length > 0) return entries
    }
    const each = Math.floor(slots / 2)
    const entries = await this.#read(each, keys, true)
    this.#backlog = entries.length >= each && isSmall(entries)
    return entries
  }

  /** Up to `slots` new entries of both streams that are there already. */
  async #readNow(slots: number): Promise<PendingEntry[]> {
    const { connection, at, consumer } = this.#options
    const { requeue } = at.keys.group(at.group)
    if (this.#stopping) return []
    this.#reading = true
    try {
      const run = command<string>(connection, 'read')
      const [requeued, fresh] = JSON.parse(await run([at.keys.stream, requeue], [at.group, consumer, slots]))
      return [...entriesOf('requeue', requeued), ...entriesOf('stream', fresh)]
    } finally {
      this.#reading = false
    }
  }

  async #read(count: number, keys: string[], blocking: boolean): Promise<PendingEntry[]> {
    const { connection, at, consumer } = this.#options
    if (this.#stopping) return []
    this.#reading = true
    try {
      const block = blocking ? ['BLOCK', BLOCK_MS] : []
      const after = keys.map(() => '>')
      // Its overloads know fixed lists of arguments only. (`call` would answer in RESP3's own shape.)
      const read = connection.xreadgroup.bind(connection) as (...args: (string | number)[]) => Promise<ReadReply>
      const reply = await read('GROUP', at.group, consumer, 'COUNT', count, ...block, 'STREAMS', ...keys, ...after)
      return (reply ?? []).flatMap(([key, rows]) => {
        return entriesOf(key === at.keys.stream ? 'stream' : 'requeue', rows)
      })
    } finally {
      this.#reading = false
    }
  }

  #askClientId(): void {
    // Without the right to ask, a stop waits for the blocked read to end by itself.
    this.#options.connection.client('ID').then(
      (id) => {
        this.#clientId = id
      },
      () => undefined
    )
  }

  #unblock(): void {
    if (!this.#reading || this.#clientId === undefined) return
    this.#options.at.redis.call('CLIENT', 'UNBLOCK', String(this.#clientId)).catch(() => undefined)
  }
}
