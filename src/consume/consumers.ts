/**
 * Every consumer group of the topology that has a handler, in this process.
 */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { pid } from 'node:process'
import type { Tracer } from '@opentelemetry/api'
import type { GroupDefinition } from '../group-definition.ts'
import type { Log } from '../log.ts'
import type { Connections } from '../streams/connections.ts'
import type { Keys } from '../streams/keys.ts'
import { physicalStreams } from '../streams/partitions.ts'
import type { StreamDefinition, Topology } from '../topology.ts'
import { tracedHandler } from '../traces/handler-spans.ts'
import type { PublishFollowUp } from './call.ts'
import { Gate } from './gate.ts'
import { HandlerTally } from './handler-tally.ts'
import { OrderedWorker } from './ordered.ts'
import { GroupWorker } from './worker.ts'

export interface ConsumersOptions {
  topology: Topology
  connections: Pick<Connections, 'consume' | 'handlers' | 'homeOf' | 'openReader'>
  keys: Keys
  publish: PublishFollowUp
  /** Undefined: nothing is traced. */
  tracer?: Tracer
  log: Log
}

/** One group of one stream in this process; of a partitioned stream, an unordered group has one worker per partition. */
export type Worker = GroupWorker | OrderedWorker

export interface Consumers {
  readonly workers: readonly Worker[]
  /** What each group's handlers did in this process. */
  readonly tallies: readonly GroupTally[]
  /** Runs every group's `start`, then begins to consume. Rejects when a `start` does. */
  start: () => Promise<void>
  /** See GroupWorker.stop; then runs every group's `stop`. */
  stop: (graceMs: number) => Promise<void>
}

export interface GroupTally {
  /** As the topology names it. */
  stream: string
  group: string
  tally: HandlerTally
}

export function createConsumers(options: ConsumersOptions): Consumers {
  const { topology, connections, log } = options
  const consumer = `${hostname().replaceAll(':', '-')}-${pid}-${randomBytes(4).toString('hex')}`
  const gate = new Gate()
  const workers: Worker[] = []
  const tallies: GroupTally[] = []
  for (const stream of topology.streams.values()) {
    for (const definition of stream.groups.values()) {
      const tally = new HandlerTally()
      const added = workersOf(options, { stream, definition, consumer, gate, tally })
      workers.push(...added)
      if (added.length === 0) continue
      tally.slots = added.length * definition.concurrency
      tallies.push({ stream: stream.name, group: definition.name, tally })
    }
  }
  const started: Worker[] = []
  const definitions = () => new Set(started.map(({ definition }) => definition))
  return {
    workers,
    tallies,
    async start() {
      for (const worker of workers) {
        const { start, stream, name } = worker.definition
        if (!definitions().has(worker.definition)) await start?.({ redis: connections.handlers, log })
        started.push(worker)
        worker.start()
        log.debug({ stream, group: name }, 'Consuming')
      }
      const groups = definitions().size
      if (groups > 0) log.info({ groups, consumer }, 'Consuming')
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
  { connections, keys, publish, tracer, log }: ConsumersOptions,
  part: {
    stream: StreamDefinition
    definition: GroupDefinition
    consumer: string
    gate: Gate
    tally: HandlerTally
  }
): Worker[] {
  const { stream, definition, consumer, gate, tally } = part
  const { handler, name } = definition
  if (handler === undefined) return []
  const environment = {
    stream: stream.name,
    group: name,
    redis: connections.handlers,
    key: keys.own,
    log,
    publish,
    tally
  }
  const handlerOf = (partition?: number) => (tracer === undefined ? handler : tracedHandler(tracer, handler, partition))
  const shared = { definition, consumer, gate, environment, log }
  const addressOf = (physical: string) => {
    const own = keys.of(physical)
    return { redis: connections.consume(own.stream), keys: own, group: name }
  }
  const readerOf = (physical: string) => connections.openReader(`${physical}:${name}`, keys.of(physical).stream)
  const physical = physicalStreams(stream)
  if (definition.ordered) {
    const partitions = physical.map((part) => addressOf(part.name))
    const at = addressOf(stream.name)
    return [
      new OrderedWorker({
        ...shared,
        at,
        partitions,
        handlerOf,
        keyOf: stream.partitionKey,
        tail: {
          open: (key) => connections.openReader(`${stream.name}:${name}`, key),
          control: connections.consume,
          homeOf: connections.homeOf
        }
      })
    ]
  }
  return physical.map((part, index) => {
    const handler = handlerOf(stream.partitions === undefined ? undefined : index)
    return new GroupWorker({ ...shared, handler, at: addressOf(part.name), connection: readerOf(part.name) })
  })
}
