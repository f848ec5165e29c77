/**
 * The blocking connection of one group in one process.
 *
 * COUNT is per stream, and two streams are read at once (the requeue stream and the stream), so a read asks for half of
 * the free slots each and never brings more than fit.
 */
import type { Redis } from 'ioredis'
import { BLOCK_MS } from '../streams/connections.ts'
import type { GroupAddress } from '../streams/groups.ts'
import type { PendingEntry } from '../streams/pending.ts'

const UNBLOCK_EVERY_MS = 20

export interface ReaderOptions {
  at: GroupAddress
  consumer: string
  /** Nobody else uses it; the reader connects and closes it. */
  connection: Redis
  /** The connection is there, for the first time or again. */
  onReady: () => void
}

type ReadReply = [string, [string, string[]][]][] | null

export class Reader {
  readonly #options: ReaderOptions
  #reading = false
  #stopping = false
  #clientId?: unknown
  #requeueFirst = true

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
    if (slots > 1) return this.#read(Math.floor(slots / 2), [requeue, stream], true)
    // One slot: the two streams take turns in being asked first, and only when both are empty may it block on both.
    const order = this.#requeueFirst ? [requeue, stream] : [stream, requeue]
    this.#requeueFirst = !this.#requeueFirst
    for (const key of order) {
      const entries = await this.#read(1, [key], false)
      if (entries.length > 0) return entries
    }
    return this.#read(1, order, true)
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
        const side = key === at.keys.stream ? 'stream' : 'requeue'
        return rows.map(([id, fields]): PendingEntry => ({ side, id, deliveries: 1, fields }))
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
