/**
 * The blocking connections of an ordered group in one process: wait for something new on any of the streams they are given.
 * They read nothing for the group (a script cannot block, and a blocking command cannot check a lease); they only say when
 * to read. Streams on one server share a connection; on a Cluster each partition has its own.
 */
import type { Redis } from 'ioredis'
import { BLOCK_MS } from '../streams/connections.ts'

const UNBLOCK_EVERY_MS = 20

/** A stream and the last entry of it that was seen. */
export type Seen = readonly [key: string, id: string]

export interface OrderedTailOptions {
  /** A connection nobody else uses, to the server of the key; the tail connects and closes it. */
  open: (key: string) => Redis
  /** Ends blocked reads of such a connection. */
  control: (key: string) => Redis
  /** Keys with the same home can be read in one command. */
  homeOf: (key: string) => string
}

export class OrderedTail {
  readonly #options: OrderedTailOptions
  readonly #lines = new Map<string, Line>()
  #interrupt?: () => void
  #stopped = false

  constructor(options: OrderedTailOptions) {
    this.#options = options
  }

  /**
   * Resolves when one of the streams has an entry after its id, after BLOCK_MS, at `interrupt`, or when a connection is
   * there again; rejects when none is there. What is still waited for then goes on being waited for by the next call.
   */
  async wait(after: readonly Seen[]): Promise<void> {
    if (this.#stopped || after.length === 0) return
    const homes = Map.groupBy(after, ([key]) => this.#options.homeOf(key))
    const waits = Array.from(homes, ([home, seen]) => this.#lineOf(home, seen).wait(seen))
    const interrupted = new Promise<void>((resolve) => {
      this.#interrupt = resolve
    })
    await Promise.race([Promise.any(waits), interrupted])
  }

  /** Ends the present wait. */
  interrupt(): void {
    this.#interrupt?.()
  }

  /** Ends the wait for good. Nothing is lost with a read that brings nothing to anybody. */
  stop(): void {
    this.#stopped = true
    this.interrupt()
    for (const line of this.#lines.values()) line.close()
  }

  #lineOf(home: string, seen: readonly Seen[]): Line {
    let line = this.#lines.get(home)
    if (line === undefined) {
      const { open, control } = this.#options
      const [key] = seen[0] as Seen
      line = new Line(open(key), control(key), () => this.interrupt())
      this.#lines.set(home, line)
    }
    return line
  }
}

/** One blocking connection. */
class Line {
  readonly #connection: Redis
  readonly #control: Redis
  #clientId?: unknown
  #present?: { what: string; done: Promise<void> }

  constructor(connection: Redis, control: Redis, onReady: () => void) {
    this.#connection = connection
    this.#control = control
    connection.on('ready', () => {
      connection.client('ID').then(
        (id) => {
          this.#clientId = id
        },
        () => undefined
      )
      onReady()
    })
    // A first attempt that fails is followed by others; `ready` tells.
    connection.connect().catch(() => undefined)
  }

  /** Joins the present read if it waits for the same, else ends that and begins another. */
  wait(seen: readonly Seen[]): Promise<void> {
    const what = seen.flat().join(' ')
    if (this.#present?.what === what) return this.#present.done
    const present = { what, done: this.#after(this.#present?.done, seen) }
    this.#present = present
    const ended = () => {
      if (this.#present === present) this.#present = undefined
    }
    present.done.then(ended, ended)
    return present.done
  }

  close(): void {
    this.#connection.disconnect()
  }

  async #after(present: Promise<void> | undefined, seen: readonly Seen[]): Promise<void> {
    if (present !== undefined) await this.#end(present)
    await this.#read(seen)
  }

  /** XREAD COUNT 1 BLOCK ms STREAMS key ... id ... */
  async #read(seen: readonly Seen[]): Promise<void> {
    const keys = seen.map(([key]) => key)
    const ids = seen.map(([, id]) => id)
    await this.#connection.xread('COUNT', 1, 'BLOCK', BLOCK_MS, 'STREAMS', ...keys, ...ids)
  }

  /** CLIENT UNBLOCK id: one that overtakes its XREAD does nothing, so it is sent until the read is over. */
  async #end(present: Promise<void>): Promise<void> {
    const unblock = () => {
      if (this.#clientId !== undefined)
        this.#control.call('CLIENT', 'UNBLOCK', String(this.#clientId)).catch(() => undefined)
    }
    const again = setInterval(unblock, UNBLOCK_EVERY_MS)
    unblock()
    await present.catch(() => undefined)
    clearInterval(again)
  }
}
