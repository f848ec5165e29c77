/**
 * Every consumer group of the topology that has a handler, in this process.
 */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { pid } from 'node:process'
import type { Connections } from '../streams/connections.ts'
import type { Keys } from '../streams/keys.ts'
import type { GroupDefinition, Log, StreamDefinition, Topology } from '../topology.ts'
import type { PublishFollowUp } from './call.ts'
import { Gate } from './gate.ts'
import { GroupWorker } from './worker.ts'

export interface ConsumersOptions {
  topology: Topology
  connections: Pick<Connections, 'consume' | 'handlers' | 'openReader'>
  keys: Keys
  publish: PublishFollowUp
  log: Log
}

export interface Consumers {
  readonly workers: readonly GroupWorker[]
  /** Runs every group's `start`, then begins to consume. Rejects when a `start` does. */
  start: () => Promise<void>
  /** See GroupWorker.stop; then runs every group's `stop`. */
  stop: (graceMs: number) => Promise<void>
}

export function createConsumers(options: ConsumersOptions): Consumers {
  const { topology, connections, log } = options
  const consumer = `${hostname().replaceAll(':', '-')}-${pid}-${randomBytes(4).toString('hex')}`
  const gate = new Gate()
  const workers: GroupWorker[] = []
  for (const stream of topology.streams.values()) {
    for (const definition of stream.groups.values()) {
      const worker = workerOf(options, { stream, definition, consumer, gate })
      if (worker !== undefined) workers.push(worker)
    }
  }
  const started: GroupWorker[] = []
  return {
    workers,
    async start() {
      for (const worker of workers) {
        const { start, stream, name } = worker.definition
        await start?.({ redis: connections.handlers, log })
        started.push(worker)
        worker.start()
        log.info({ stream, group: name, consumer }, 'Consuming')
      }
    },
    async stop(graceMs) {
      await Promise.all(started.map((worker) => worker.stop(graceMs)))
      for (const worker of started.splice(0)) await worker.definition.stop?.()
    }
  }
}

function workerOf(
  { connections, keys, publish, log }: ConsumersOptions,
  part: { stream: StreamDefinition; definition: GroupDefinition; consumer: string; gate: Gate }
): GroupWorker | undefined {
  const { stream, definition, consumer, gate } = part
  const { handler, name } = definition
  if (handler === undefined) return undefined
  return new GroupWorker({
    at: { redis: connections.consume, keys: keys.of(stream.name), group: name },
    definition,
    handler,
    consumer,
    connection: connections.openReader(`${stream.name}:${name}`),
    gate,
    environment: { stream: stream.name, group: name, redis: connections.handlers, key: keys.own, log, publish },
    log
  })
}
