/** What this process appended to one stream of the topology, over all its partitions. */
import { appendSeconds, eventBytes, flushEvents, Histogram } from '../metrics/histogram.ts'
import type { AppendUnit, UnitResult } from './flush.ts'

export class AppendTally {
  /** Events that were written; those that too few replicas confirmed are written too. */
  stored = 0
  /** Events that had been stored before. */
  duplicates = 0
  /** Names and values of the fields of every event that was pushed, in UTF-16 units: bytes where the text is ASCII. */
  readonly eventBytes = new Histogram(eventBytes)
  /** Per unit, from its push until it was settled, stored or not. */
  readonly appendSeconds = new Histogram(appendSeconds)
  /** Per flush that was answered, from sending it until then. */
  readonly flushSeconds = new Histogram(appendSeconds)
  readonly flushEvents = new Histogram(flushEvents)

  /** A flush that was sent at `sentAt`, in monotonic milliseconds, is answered. */
  answered(units: readonly AppendUnit[], results: readonly UnitResult[], sentAt: number): void {
    this.flushSeconds.observe((performance.now() - sentAt) / 1_000)
    this.flushEvents.observe(units.reduce((sum, { events }) => sum + events.length, 0))
    for (const result of results) {
      if (result.status !== 'appended') continue
      let duplicates = 0
      for (const { duplicate } of result.entries) if (duplicate) duplicates += 1
      this.duplicates += duplicates
      this.stored += result.entries.length - duplicates
    }
  }
}
