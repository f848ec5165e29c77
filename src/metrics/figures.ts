/**
 * What Redis knows of streams and groups, for a scrape: one pass over all of them at a time, which concurrent scrapes
 * share and later ones use again for a second. However often somebody scrapes, Redis is asked once a second at most.
 */

import type { Log } from '../log.ts'
import type { GroupLag } from '../streams/lag.ts'
import type { StreamLevel } from '../streams/levels.ts'
import { physicalStreams } from '../streams/partitions.ts'
import type { Streams } from '../streams/streams.ts'
import type { StreamDefinition, Topology } from '../topology.ts'
import type { Labels } from './families.ts'

/** By the names of the topology: a partitioned stream is one row, and all groups that it does not name are `other`. */
export interface Figures {
  /** Every stream answered; else those that did not are missing. */
  complete: boolean
  streams: Row<StreamLevel>[]
  groups: Row<GroupLag>[]
}

export interface Row<Item> {
  labels: Labels
  /** What goes under these labels; at least one. */
  parts: Item[]
}

export interface FiguresOptions {
  topology: Topology
  streams: Pick<Streams, 'lag' | 'level'>
  log: Log
}

/** A pass is used again for this long. */
const REUSE_MS = 1_000
/** A scrape goes on without what has not come by then; Prometheus itself gives up after 10 seconds. */
const PATIENCE_MS = 1_500

/** The figures as they are now, or were a second ago. Without the streams whose Redis is down or slow. Never rejects. */
export function createFigures({ topology, streams, log }: FiguresOptions): () => Promise<Figures> {
  const definitions = Array.from(topology.streams.values(), (stream) => ({ stream, parts: physicalStreams(stream) }))
  let figures: Figures = { complete: false, streams: [], groups: [] }
  let pass: Promise<void> = Promise.resolve()
  let running = false
  let endedAt = Number.NEGATIVE_INFINITY

  async function read(): Promise<void> {
    const next: Figures = { complete: false, streams: [], groups: [] }
    figures = next
    const answers = await Promise.allSettled(
      definitions.map(async ({ stream, parts }) => {
        // Half of a stream's partitions would look as if its counters had gone back.
        const [levels, lags] = await Promise.all([Promise.all(parts.map(streams.level)), streams.lag(parts)])
        next.streams.push({ labels: { stream: stream.name }, parts: levels })
        next.groups.push(...groupRows(stream, lags))
      })
    )
    const failed = answers.find(({ status }) => status === 'rejected')
    next.complete = failed === undefined
    if (failed?.status === 'rejected') log.debug({ err: failed.reason }, 'Redis could not be asked for a scrape')
    running = false
    endedAt = performance.now()
  }

  return async () => {
    if (!running && performance.now() - endedAt > REUSE_MS) {
      running = true
      pass = read()
    }
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MS)
    })
    await Promise.race([pass, patience])
    clearTimeout(timer)
    return figures
  }
}

function groupRows(stream: StreamDefinition, lags: readonly GroupLag[]): Row<GroupLag>[] {
  const byGroup = Map.groupBy(lags, ({ group }) => (stream.groups.has(group) ? group : 'other'))
  return Array.from(byGroup, ([group, parts]) => ({ labels: { stream: stream.name, group }, parts }))
}
