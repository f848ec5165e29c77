/**
 * How many replicas a master has: what `replicas: 'all'` means.
 *
 * Any of them may be promoted next, also one that is away for a moment and comes back with old data, so those that are
 * connected are not enough.
 * - On a Cluster the nodes know each other: every replica of the master counts until it is forgotten (CLUSTER FORGET).
 * - Elsewhere a master only knows who is connected: the most that this process has ever seen count. A replica that is
 *   gone for good counts until this process starts again.
 * A new master was a replica itself, so it has one less, and has to have that many before it is believed to have fewer.
 */
import type { Redis } from 'ioredis'

interface Master {
  name: string
  replicas: number
}

export class ReplicaCount {
  readonly #redis: Redis
  readonly #isCluster: boolean
  #master = ''
  /** It is not believed to have fewer than these. */
  #least = 0
  #count?: number
  #isKnown = false

  constructor(redis: Redis, isCluster: boolean) {
    this.#redis = redis
    this.#isCluster = isCluster
  }

  /** At least 1: without any replica nothing is replicated. Undefined: Redis has not said, or does not say. */
  get all(): number | undefined {
    return this.#isKnown ? this.#count : undefined
  }

  /** The connection broke: whoever is at its other end next has to be asked first. */
  forget(): void {
    this.#isKnown = false
  }

  /** Asks the master. Never rejects. */
  async ask(): Promise<void> {
    try {
      this.#learn(await (this.#isCluster ? this.#clusterMaster() : this.#connectedMaster()))
    } catch {
      this.#isKnown = false
    }
  }

  #learn({ name, replicas }: Master): void {
    if (this.#count !== undefined && name !== this.#master) this.#least = this.#count - 1
    this.#master = name
    if (!this.#isCluster) this.#least = Math.max(this.#least, replicas)
    else if (replicas >= this.#least) this.#least = 0
    this.#count = Math.max(1, this.#least, replicas)
    this.#isKnown = true
  }

  /** CLUSTER NODES: id address flags master-id ... per node; `myself` is the one that was asked. */
  async #clusterMaster(): Promise<Master> {
    const rows = String(await this.#redis.cluster('NODES'))
      .trim()
      .split('\n')
      .map((row) => row.split(' '))
    const name = rows.find(([, , flags = '']) => flags.includes('myself'))?.[0]
    if (name === undefined) throw new Error('CLUSTER NODES does not say who answers')
    return { name, replicas: rows.filter(([, , , master]) => master === name).length }
  }

  /** INFO replication */
  async #connectedMaster(): Promise<Master> {
    const { remoteAddress = '', remotePort = '' } = this.#redis.stream as {
      remoteAddress?: string
      remotePort?: number
    }
    const connected = /^connected_slaves:(\d+)/m.exec(await this.#redis.info('replication'))?.[1]
    if (connected === undefined) throw new Error('INFO does not say how many replicas there are')
    return { name: `${remoteAddress}:${remotePort}`, replicas: Number(connected) }
  }
}
