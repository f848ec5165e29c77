/**
 * The blocking connection of an ordered group in one process: waits for something new on any of the streams it is given.
 * It reads nothing for the group (a script cannot block, and a blocking command cannot check a lease); it only says when
 * to read.
 *
 * Known gap: on Redis Cluster one command cannot watch streams of several slots.
 */
import type { Redis } from 'ioredis'
import { BLOCK_MS } from '../streams/connections.ts'

const UNBLOCK_EVERY_MS = 20

export class OrderedTail {
  readonly #connection: Redis
  /** Ends blocked reads of the other connection. */
  readonly #control: Redis
  #clientId?: unknown
  #waiting = false
  #unblocking?: NodeJS.Timeout
  #stopped = false

  constructor(connection: Redis, control: Redis) {
    this.#connection = connection
    this.#control = control
  }

  get waiting(): boolean {
    return this.#waiting
  }

  start(onReady: () => void): void {
    this.#connection.on('ready', () => {
      this.#connection.client('ID').then(
        (id) => {
          this.#clientId = id
        },
        () => undefined
      )
      onReady()
    })
    // A first attempt that fails is followed by others; `ready` tells.
    this.#connection.connect().catch(() => undefined)
  }

  /**
   * XREAD COUNT 1 BLOCK ms STREAMS key ... id ...
   * Resolves when one of the streams has an entry after its id, after BLOCK_MS, or soon after `interrupt`; rejects when
   * the connection is not there.
   */
  async wait(after: readonly (readonly [key: string, id: string])[]): Promise<void> {
    if (this.#stopped || after.length === 0) return
    this.#waiting = true
    try {
      const keys = after.map(([key]) => key)
      const ids = after.map(([, id]) => id)
      await this.#connection.xread('COUNT', 1, 'BLOCK', BLOCK_MS, 'STREAMS', ...keys, ...ids)
    } finally {
      this.#waiting = false
      clearInterval(this.#unblocking)
      this.#unblocking = undefined
    }
  }

  /** Ends the present wait. An UNBLOCK that overtakes its XREAD does nothing, so it is sent until the wait is over. */
  interrupt(): void {
    if (!this.#waiting || this.#unblocking !== undefined) return
    const unblock = () => {
      if (this.#clientId !== undefined)
        this.#control.call('CLIENT', 'UNBLOCK', String(this.#clientId)).catch(() => undefined)
    }
    this.#unblocking = setInterval(unblock, UNBLOCK_EVERY_MS)
    unblock()
  }

  /** Ends the wait for good, and resolves when the loop that waits has ended. */
  async stop(loop: Promise<void> | undefined): Promise<void> {
    this.#stopped = true
    this.interrupt()
    // A server that does not answer must not hold up the stop.
    const giveUp = setTimeout(() => this.#connection.disconnect(), BLOCK_MS + 500)
    await loop
    clearTimeout(giveUp)
    this.#connection.disconnect()
  }
}
