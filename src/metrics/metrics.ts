/**
 * Everything that GET /metrics shows. Numbers of this process are kept by those who know them (`*-tally.ts`), figures of
 * streams and groups are Redis's; both are only read here.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Registry } from 'prom-client'
import type { GroupTally } from '../consume/consumers.ts'
import type { Log } from '../log.ts'
import type { Streams } from '../streams/streams.ts'
import type { Topology } from '../topology.ts'
import { addAppendFamilies } from './append-families.ts'
import { createFamilies } from './families.ts'
import { createFigures, type Figures } from './figures.ts'
import { addGroupFamilies } from './group-families.ts'
import { addHandlerFamilies } from './handler-families.ts'
import { addBuildFamily, addRedisFamilies, processMetrics } from './process-families.ts'
import { addRequestFamilies } from './request-families.ts'
import type { RequestTally } from './request-tally.ts'
import { addStreamFamilies } from './stream-families.ts'

export interface MetricsOptions {
  version: string
  topology: Topology
  requests: RequestTally
  streams: Streams
  /** Empty where this process runs no handlers. */
  handlers: readonly GroupTally[]
  /** Whether the connections of each use stand. */
  connections: () => Iterable<[use: string, ready: boolean]>
  log: Log
}

export interface Metrics {
  contentType: string
  /** The exposition; after 1.5 seconds without what Redis has not said by then. Never rejects. */
  text: () => Promise<string>
}

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry()
  const families = createFamilies(registry)
  const readFigures = createFigures(options)
  let figures: Figures = { complete: false, streams: [], groups: [] }
  addBuildFamily(families, options.version)
  addRequestFamilies(families, options.requests)
  addAppendFamilies(families, options.streams)
  addStreamFamilies(families, () => figures)
  addGroupFamilies(families, () => figures)
  addHandlerFamilies(families, options.handlers)
  addRedisFamilies(families, { connections: options.connections, answered: () => figures.complete })
  const all = Registry.merge([registry, processMetrics()])
  const names = all.getMetricsAsArray().map(({ name }) => name)
  return {
    contentType: all.contentType,
    async text() {
      figures = await readFigures()
      let text = ''
      for (const name of names) {
        text += `${await all.getSingleMetricAsString(name)}\n`
        // With 1,000 groups the whole takes 60 ms, and requests should not wait for it.
        await nextTurn()
      }
      return text
    }
  }
}
