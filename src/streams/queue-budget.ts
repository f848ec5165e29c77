/**
 * The bound on events that wait in this process, over all streams: a slow or absent Redis must cost producers a 503,
 * never the gateway its memory. One physical stream may take at most a quarter, so that a stuck one leaves room.
 */
export interface QueueBudget {
  maxEvents: number
  maxBytes: number
  events: number
  bytes: number
}

export function createQueueBudget(limits: { maxEvents: number; maxBytes: number }): QueueBudget {
  return { ...limits, events: 0, bytes: 0 }
}

/** True if a stream that holds `streamEvents` and `streamBytes` may take so much more. */
export function hasRoom(
  budget: QueueBudget,
  events: number,
  bytes: number,
  streamEvents: number,
  streamBytes: number
): boolean {
  return (
    budget.events + events <= budget.maxEvents &&
    budget.bytes + bytes <= budget.maxBytes &&
    // The first unit always fits its stream's share, or a batch above a quarter of the queue could never be sent.
    (streamEvents === 0 ||
      (streamEvents + events <= budget.maxEvents / 4 && streamBytes + bytes <= budget.maxBytes / 4))
  )
}
