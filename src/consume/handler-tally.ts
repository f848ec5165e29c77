/** What the handlers of one group did in this process, over all partitions. */
import { Histogram, handlerSeconds } from '../metrics/histogram.ts'
import { HandlerTimeout, Rejection, TakenOver, Unavailability } from './outcomes.ts'

/** How a handler call ended; `abandoned`: nobody listens to it any more, because the process ends or the entry is another's. */
export type HandlerOutcome = 'handled' | 'failed' | 'rejected' | 'unavailable' | 'timeout' | 'abandoned'

export class HandlerTally {
  /** Handlers that run now; one that has timed out does not count, whether it has returned or not. */
  running = 0
  /** Handlers that may run at once. */
  slots = 0
  readonly seconds = new Map<HandlerOutcome, Histogram>()
  readonly #handled: Histogram

  constructor() {
    this.#handled = this.#secondsOf('handled')
    this.#secondsOf('failed')
  }

  /** `startedAt` is monotonic milliseconds. */
  handled(startedAt: number): void {
    this.running -= 1
    this.#handled.observe((performance.now() - startedAt) / 1_000)
  }

  failed(startedAt: number, error: unknown): void {
    this.running -= 1
    this.#secondsOf(outcomeOf(error)).observe((performance.now() - startedAt) / 1_000)
  }

  abandoned(startedAt: number): void {
    this.running -= 1
    this.#secondsOf('abandoned').observe((performance.now() - startedAt) / 1_000)
  }

  #secondsOf(outcome: HandlerOutcome): Histogram {
    let seconds = this.seconds.get(outcome)
    if (seconds === undefined) {
      seconds = new Histogram(handlerSeconds)
      this.seconds.set(outcome, seconds)
    }
    return seconds
  }
}

function outcomeOf(error: unknown): HandlerOutcome {
  if (error instanceof Rejection) return 'rejected'
  if (error instanceof Unavailability) return 'unavailable'
  if (error instanceof HandlerTimeout) return 'timeout'
  return error instanceof TakenOver ? 'abandoned' : 'failed'
}
