/**
 * Since when servers have been in sight without a break. After an outage everybody else's heartbeats and leases look old
 * there, so what seems abandoned may be taken only once its server has been in sight for a while.
 */
import type { Redis } from 'ioredis'

export class Sight {
  readonly #since = new Map<Redis, number | undefined>()
  readonly #listeners = new Map<Redis, () => void>()

  /** Watches these connections until `stop`. */
  constructor(connections: Iterable<Redis>) {
    for (const connection of connections) {
      if (this.#listeners.has(connection)) continue
      const lose = () => void this.#since.set(connection, undefined)
      this.#listeners.set(connection, lose)
      connection.on('close', lose)
    }
  }

  /** Takes note of what is in sight now; any clock that does not go backwards will do. */
  look(now: number): void {
    for (const connection of this.#listeners.keys()) {
      if (connection.status !== 'ready') this.#since.set(connection, undefined)
      else if (this.#since.get(connection) === undefined) this.#since.set(connection, now)
    }
  }

  /** At the last look it was in sight, and had been for so long. */
  has(connection: Redis, forMs: number, now: number): boolean {
    const since = this.#since.get(connection)
    return since !== undefined && now - since >= forMs
  }

  stop(): void {
    for (const [connection, lose] of this.#listeners) connection.off('close', lose)
  }
}
