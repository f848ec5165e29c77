/**
 * The blocking connection of one group in one process.
 *
 * COUNT is per stream, and two streams are read at once (the requeue stream and the stream), so a read of both asks for
 * half of the free slots each and never brings more than fit. While there is a backlog and nothing was requeued, every
 * other read asks the stream alone, for all of them.
 */
import type { Redis } from 'ioredis'
import { BLOCK_MS } from '../streams/connections.ts'
import type { EntryRows } from '../streams/entries-reply.ts'
import { EntryReads } from '../streams/entry-reads.ts'
import type { GroupAddress } from '../streams/groups.ts'
import type { PendingEntry, Side } from '../streams/pending.ts'

const UNBLOCK_EVERY_MS = 20
/** About 2 ms of the server's time. */
const MAX_READ = 1_000

export interface ReaderOptions {
  at: GroupAddress
  consumer: string
  /** Nobody else uses it; the reader connects and closes it. */
  connection: Redis
  /** The connection is there, for the first time or again. */
  onReady: () => void
}

function entriesOf(side: Side, rows: EntryRows = []): PendingEntry[] {
  return rows.map(([id, fields]) => ({ side, id, deliveries: 1, fields }))
}

export class Reader {
  readonly #options: ReaderOptions
  #reading = false
  #stopping = false
  #clientId?: unknown
  #requeueFirst = true
  /** The last read brought as much as it asked for, so there is more. */
  #backlog = false
  /** The last read asked both streams, and nothing was requeued. */
  #nothingRequeued = false
  readonly #reads: EntryReads

  constructor(options: ReaderOptions) {
    this.#options = options
    this.#reads = new EntryReads(options.connection)
  }

  get ready(): boolean {
    return this.#options.connection.status === 'ready'
  }

  /** There is more to read, and no read would wait. */
  get backlog(): boolean {
    return this.#backlog
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
    if (requeueOnly) return this.#read(Math.min(slots, MAX_READ), [requeue], true)
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
    const streamOnly = this.#backlog && this.#nothingRequeued
    const each = Math.min(streamOnly ? slots : Math.floor(slots / 2), MAX_READ)
    const entries = await this.#read(each, streamOnly ? [keys[1]] : keys, !this.#backlog)
    this.#nothingRequeued = !streamOnly && entries[0]?.side !== 'requeue'
    this.#backlog = entries.length >= each
    return entries
  }

  async #read(count: number, keys: string[], blocking: boolean): Promise<PendingEntry[]> {
    const { at, consumer } = this.#options
    if (this.#stopping) return []
    this.#reading = true
    try {
      const block = blocking ? ['BLOCK', BLOCK_MS] : []
      const after = keys.map(() => '>')
      const args = ['GROUP', at.group, consumer, 'COUNT', count, ...block, 'STREAMS', ...keys, ...after]
      const streams = await this.#reads.read('XREADGROUP', args)
      const requeued = entriesOf('requeue', streams.get(at.keys.group(at.group).requeue))
      return requeued.concat(entriesOf('stream', streams.get(at.keys.stream)))
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
