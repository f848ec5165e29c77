import { collectDefaultMetrics, Registry } from 'prom-client'
import type { Families } from './families.ts'

/** The state of each kind of connection to Redis, and whether Redis answered this scrape in time. */
export function addRedisFamilies(
  { gauge }: Families,
  { connections, answered }: { connections: () => Iterable<[use: string, ready: boolean]>; answered: () => boolean }
): void {
  gauge('headgate_redis_up', '1: every connection to Redis of this use stands.', () =>
    Array.from(connections(), ([use, ready]) => ({ labels: { use }, value: ready ? 1 : 0 }))
  )
  gauge('headgate_redis_answered', '1: Redis answered this scrape in time; else what it knows is missing here.', () => [
    { labels: {}, value: answered() ? 1 : 0 }
  ])
}

export function addBuildFamily({ gauge }: Families, version: string): void {
  gauge('headgate_build_info', 'Always 1; the label has the version.', () => [{ labels: { version }, value: 1 }])
}

let processRegistry: Registry | undefined

/**
 * CPU, memory, garbage collection and event loop delay, under the names that all Node programs use, so that common
 * dashboards show them. They are of the process, not of one application in it, and watch it as long as it runs.
 */
export function processMetrics(): Registry {
  if (processRegistry === undefined) {
    processRegistry = new Registry()
    collectDefaultMetrics({ register: processRegistry })
  }
  return processRegistry
}
