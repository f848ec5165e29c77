/**
 * Metrics as Prometheus reads them, made at each scrape from numbers that are kept elsewhere. prom-client's own counters
 * look a label set up by its text at every increment, which the hot path cannot afford; its registry writes the text.
 */
import type { Metric, Registry } from 'prom-client'
import type { Histogram } from './histogram.ts'

export type Labels = Readonly<Record<string, string>>

export interface Sample {
  labels: Labels
  value: number
}

export interface Distribution {
  labels: Labels
  histogram: Histogram
}

export interface Families {
  counter: (name: string, help: string, samples: () => Iterable<Sample>) => void
  gauge: (name: string, help: string, samples: () => Iterable<Sample>) => void
  histogram: (name: string, help: string, distributions: () => Iterable<Distribution>) => void
}

/** Each family is registered once and asked for its samples at each scrape. */
export function createFamilies(registry: Registry): Families {
  const add = (type: string, name: string, help: string, values: () => object[]) => {
    const get = async () => ({ name, help, type, aggregator: 'sum', values: values() })
    registry.registerMetric({ name, get } as unknown as Metric)
  }
  return {
    counter: (name, help, samples) => add('counter', name, help, () => [...samples()]),
    gauge: (name, help, samples) => add('gauge', name, help, () => [...samples()]),
    histogram: (name, help, distributions) =>
      add('histogram', name, help, () => Array.from(distributions(), (one) => rowsOf(name, one)).flat())
  }
}

/** Prometheus's buckets hold everything below their bound. */
function rowsOf(name: string, { labels, histogram }: Distribution): object[] {
  const { bounds, counts, sum } = histogram
  let below = 0
  const buckets = counts.map((count, range) => {
    below += count
    return { metricName: `${name}_bucket`, labels: { ...labels, le: bounds[range] ?? '+Inf' }, value: below }
  })
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: below }
  ]
}
