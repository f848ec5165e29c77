/**
 * Which master serves which slot of a Redis Cluster, as its nodes say.
 *
 * It is asked at every connection attempt, and once a second besides: a master that hangs closes no connection, so only the
 * map tells that another one has taken its slots. What a node says is believed while it calls the cluster's state `ok`; one
 * that is cut off from the others stops doing so within `cluster-node-timeout`.
 */
import { Redis, type RedisOptions } from 'ioredis'
import type { Address } from './redis-url.ts'

interface Range {
  first: number
  last: number
  master: Address
}

interface Answer {
  isOk: boolean
  ranges: Range[]
}

interface Client {
  redis: Redis
  address: Address
  /** What went wrong with the connection last. */
  failure?: Error
}

/** [first, last, [host, port, id, ...], replicas ...] */
type SlotsReply = [number, number, ...[string | null, number, ...unknown[]][]][]

/** What was asked this recently is not asked again: many connections break at the same moment. */
const FRESH_MS = 100
const WATCH_EVERY_MS = 1_000
/** A node that hangs must not keep the others from being asked. */
const ASK_TIMEOUT_MS = 1_000

export class SlotMap {
  readonly #seeds: readonly Address[]
  readonly #options: RedisOptions
  readonly #listeners = new Set<() => void>()
  #nodes: Address[] = []
  #ranges: Range[] = []
  #askedAt = Number.NEGATIVE_INFINITY
  #asking?: Promise<void>
  /** The connection to the node that answered last. */
  #client?: Client
  #watch?: NodeJS.Timeout
  #stopped = false

  /** `options`: credentials and TLS. */
  constructor(seeds: readonly Address[], options: RedisOptions) {
    this.#seeds = seeds
    this.#options = options
  }

  /** Looks every second from now on. */
  start(): void {
    this.#watch ??= setInterval(() => void this.#refresh().catch(() => undefined), WATCH_EVERY_MS)
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#watch)
    this.#client?.redis.disconnect()
  }

  /** Who serves the slot now. Rejects when no node answers, or none serves it. */
  async ownerOf(slot: number): Promise<Address> {
    await this.#refresh()
    const owner = this.lastOwnerOf(slot)
    if (owner === undefined) throw new Error(`no node of the cluster serves slot ${slot}`)
    return owner
  }

  /** Who served the slot when it was last asked. */
  lastOwnerOf(slot: number): Address | undefined {
    return this.#ranges.find(({ first, last }) => first <= slot && slot <= last)?.master
  }

  /** Calls `listener` whenever the slot turns out to be served by another node than `owner`. Returns what ends that. */
  onMoved(slot: number, owner: Address, listener: () => void): () => void {
    const look = () => {
      const now = this.lastOwnerOf(slot)
      if (now !== undefined && !isSame(now, owner)) listener()
    }
    this.#listeners.add(look)
    return () => void this.#listeners.delete(look)
  }

  #refresh(): Promise<void> {
    if (this.#asking !== undefined) return this.#asking
    if (performance.now() - this.#askedAt < FRESH_MS) return Promise.resolve()
    this.#asking = this.#ask().finally(() => {
      this.#asking = undefined
    })
    return this.#asking
  }

  /** Asks one node after the other, the one that answered last first, until one knows. */
  async #ask(): Promise<void> {
    let doubtful: Answer | undefined
    let failure: unknown = new Error('no node of the cluster was asked')
    for (const address of this.#inTurn()) {
      if (this.#stopped) break
      try {
        const answer = await this.#askNode(address)
        if (answer.isOk) return this.#learn(answer)
        doubtful ??= answer
      } catch (error) {
        failure = error
      }
    }
    if (doubtful === undefined) throw failure
    this.#learn(doubtful)
  }

  #inTurn(): Address[] {
    const last = this.#client === undefined ? [] : [this.#client.address]
    const turn = new Map([...last, ...this.#nodes, ...this.#seeds].map((address) => [nameOf(address), address]))
    return Array.from(turn.values())
  }

  #learn({ ranges }: Answer): void {
    this.#askedAt = performance.now()
    this.#ranges = ranges
    this.#nodes = ranges.map(({ master }) => master)
    for (const look of Array.from(this.#listeners)) look()
  }

  /** CLUSTER INFO and CLUSTER SLOTS */
  async #askNode(address: Address): Promise<Answer> {
    const client = this.#clientOf(address)
    const { redis } = client
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`${nameOf(address)} does not answer`)), ASK_TIMEOUT_MS)
    })
    try {
      late.catch(() => undefined)
      if (redis.status === 'wait') await Promise.race([redis.connect(), late])
      const asked = Promise.all([redis.cluster('INFO'), redis.cluster('SLOTS')])
      asked.catch(() => undefined)
      const [info, rows] = (await Promise.race([asked, late])) as unknown as [string, SlotsReply]
      const ranges = rows.flatMap(([first, last, master]): Range[] => {
        if (master === undefined) return []
        const [host, port] = master
        // A node leaves out, or calls ?, the address of its own that it was not told.
        return [{ first, last, master: { host: host && host !== '?' ? host : address.host, port } }]
      })
      return { isOk: info.includes('cluster_state:ok') && ranges.length > 0, ranges }
    } catch (error) {
      // The command says that the connection is closed, and the connection why.
      redis.disconnect()
      this.#client = undefined
      throw client.failure ?? error
    } finally {
      clearTimeout(timer)
    }
  }

  #clientOf(address: Address): Client {
    if (this.#client !== undefined) {
      if (isSame(this.#client.address, address)) return this.#client
      this.#client.redis.disconnect()
    }
    const redis = new Redis({
      ...this.#options,
      ...address,
      connectionName: 'headgate:slots',
      lazyConnect: true,
      connectTimeout: ASK_TIMEOUT_MS,
      commandTimeout: ASK_TIMEOUT_MS,
      enableOfflineQueue: false,
      enableReadyCheck: false,
      retryStrategy: null
    })
    const client: Client = { redis, address }
    redis.on('error', (error) => {
      client.failure = error
    })
    this.#client = client
    return client
  }
}

function isSame(a: Address, b: Address): boolean {
  return a.host === b.host && a.port === b.port
}

export function nameOf({ host, port }: Address): string {
  return `${host}:${port}`
}
