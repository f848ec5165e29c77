/**
 * How a connection finds its server, at every attempt anew.
 *
 * An ioredis connector that rejects ends its connection for good. These never do: an attempt that found no server is a
 * socket that is closed already, and the connection goes on trying.
 */
import { createConnection, Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { AbstractConnector, type Redis, type RedisOptions, SentinelConnector } from 'ioredis'
import type { Address } from './redis-url.ts'
import type { SlotMap } from './slot-map.ts'

export type ConnectorClass = NonNullable<RedisOptions['Connector']>

/** Follows one slot of a cluster from master to master. It leaves a master that the slot has left. */
export function slotConnector(map: SlotMap, slot: number, tls: ConnectionOptions | undefined): ConnectorClass {
  return class extends AbstractConnector {
    constructor(options: unknown) {
      super((options as { disconnectTimeout: number }).disconnectTimeout)
    }

    /** A server that says it is a replica: the map was older than that. */
    override check(info: { role?: string }): boolean {
      return info.role === undefined || info.role === 'master'
    }

    override async connect(): Promise<Socket> {
      this.connecting = true
      try {
        const owner = await map.ownerOf(slot)
        if (!this.connecting) return closed()
        return this.#follow(owner)
      } catch (error) {
        this.firstError = error as Error
        return closed()
      }
    }

    #follow(owner: Address): Socket {
      const stream = tls === undefined ? createConnection(owner) : connectTls({ ...tls, ...owner })
      const stay = map.onMoved(slot, owner, () => stream.destroy())
      stream.once('close', stay)
      stream.once('error', (error) => {
        this.firstError = error
      })
      this.stream = stream
      return stream
    }
  }
}

/** What ioredis' connector asks a Sentinel with; its types keep it to themselves. */
interface SentinelClients {
  connectToSentinel: (...args: unknown[]) => Pick<Redis, 'on'>
}

/** ioredis' own, which asks the Sentinels for the master; it would not say why none could be asked. */
export class PatientSentinelConnector extends SentinelConnector {
  #failure?: Error

  constructor(...args: ConstructorParameters<typeof SentinelConnector>) {
    super(...args)
    const clients = this as unknown as SentinelClients
    const connectToSentinel = clients.connectToSentinel.bind(this)
    clients.connectToSentinel = (...to) =>
      connectToSentinel(...to).on('error', (error: Error) => {
        this.#failure = error
      })
  }

  override async connect(emit: Parameters<SentinelConnector['connect']>[0]): ReturnType<SentinelConnector['connect']> {
    this.#failure = undefined
    try {
      return await super.connect(emit)
    } catch (error) {
      this.firstError = this.#failure ?? (error as Error)
      return closed()
    }
  }
}

function closed(): Socket {
  return new Socket().destroy()
}
