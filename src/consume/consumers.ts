/**
 * Every consumer group of the topology that has a handler, in this process.
 */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { pid } from 'node:process'
import type { Connections } from '../streams/connections.ts'
import type { Keys } from '../streams/keys.ts'
import { physicalStreams } from '../streams/partitions.ts'
import type { GroupDefinition, Log, StreamDefinition, Topology } from '../topology.ts'
import type { PublishFollowUp } from './call.ts'
import { Gate } from './gate.ts'
import { OrderedWorker } from './ordered.ts'
import { GroupWorker } from './worker.ts'

export interface ConsumersOptions {
  topology: Topology
  connections: Pick<Connections, 'consume' | 'handlers' | 'openReader'>
  keys: Keys
  publish: PublishFollowUp
  log: Log
}

/** One group of one stream in this process; of a partitioned stream, an unordered group has one worker per partition. */
export type Worker = GroupWorker | OrderedWorker

export interface Consumers {
  readonly workers: readonly Worker[]
  /** Runs every group's `start`, then begins to consume. Rejects when a `start` does. */
  start: () => Promise<void>
  /** See GroupWorker.stop; then runs every group's `stop`. */
  stop: (graceMs: number) => Promise<void>
}

export function createConsumers(options: ConsumersOptions): Consumers {
  const { topology, connections, log } = options
  const consumer = `${hostname().replaceAll(':', '-')}-${pid}-${randomBytes(4).toString('hex')}`
  const gate = new Gate()
  const workers: Worker[] = []
  for (const stream of topology.streams.values()) {
    for (const definition of stream.groups.values()) {
      workers.push(...workersOf(options, { stream, definition, consumer, gate }))
    }
  }
  const started: Worker[] = []
  const definitions = () => new Set(started.map(({ definition }) => definition))
  return {
    workers,
    async start() {
      for (const worker of workers) {
        const { start, stream, name } = worker.definition
        if (!definitions().has(worker.definition)) await start?.({ redis: connections.handlers, log })
        started.push(worker)
        worker.start()
        log.info({ stream, group: name, consumer }, 'Consuming')
      }
    },
    async stop(graceMs) {
      await Promise.all(started.map((worker) => worker.stop(graceMs)))
      const groups = definitions()
      started.length = 0
      for (const { stop } of groups) await stop?.()
    }
  }
}

function workersOf(
  { connections, keys, publish, log }: ConsumersOptions,
  part: { stream: StreamDefinition; definition: GroupDefinition; consumer: string; gate: Gate }
): Worker[] {
  const { stream, definition, consumer, gate } = part
  const { handler, name } = definition
  if (handler === undefined) return []
  const environment = { stream: stream.name, group: name, redis: connections.handlers, key: keys.own, log, publish }
  const shared = { definition, handler, consumer, gate, environment, log }
  const addressOf = (physical: string) => ({ redis: connections.consume, keys: keys.of(physical), group: name })
  const readerOf = (physical: string) => connections.openReader(`${physical}:${name}`)
  const physical = physicalStreams(stream)
  if (definition.ordered) {
    const partitions = physical.map((part) => addressOf(part.name))
    const at = addressOf(stream.name)
    return [
      new OrderedWorker({ ...shared, at, partitions, keyOf: stream.partitionKey, connection: readerOf(stream.name) })
    ]
  }
  return physical.map(
    (part) => new GroupWorker({ ...shared, at: addressOf(part.name), connection: readerOf(part.name) })
  )
}
