/**
 * How often a value fell into which range, as plain numbers: the hot path adds to it for a few nanoseconds, and a scrape
 * reads it.
 */
export class Histogram {
  /** Upper ends of the ranges, rising; what is above the last one is counted behind it. */
  readonly bounds: readonly number[]
  /** Per range, not cumulated; one more than there are bounds. */
  readonly counts: number[]
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Array<number>(bounds.length + 1).fill(0)
  }

  observe(value: number): void {
    const { bounds } = this
    let range = 0
    while (range < bounds.length && value > (bounds[range] as number)) range += 1
    this.counts[range] = (this.counts[range] as number) + 1
    this.sum += value
  }
}

/** An append takes one to a few milliseconds, and is given up after COMMAND_TIMEOUT_MS, two seconds unless set. */
export const appendSeconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]
/** A handler may take anything from microseconds to `handlerTimeoutMs`, a minute unless set. */
export const handlerSeconds = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
/** A flush is bounded at 1,000 events. */
export const flushEvents = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000]
/** A body is at most BODY_LIMIT_BYTES, 1 MiB unless set. */
export const eventBytes = [256, 512, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576]
