/** A consumer group as the topology has it: checked, with every default filled in. */
import type { Alerts, Backoff, GroupOptions, Handler, Rebuild } from './topology-options.ts'

export interface GroupDefinition {
  name: string
  stream: string
  handler?: Handler
  external: boolean
  pins: boolean
  from: 'beginning' | 'end'
  concurrency: number
  /** Undefined = no limit. */
  ratePerSecond?: number
  maxAttempts: number
  backoff: Backoff
  handlerTimeoutMs: number
  staleAfterMs: number
  maxParked: number
  types?: ReadonlySet<string>
  ordered: boolean
  maxHeld: number
  rebuild?: Rebuild
  alerts: Alerts
  start?: GroupOptions['start']
  stop?: GroupOptions['stop']
}

const defaults = {
  concurrency: 16,
  maxAttempts: 5,
  backoff: { minMs: 2_000, maxMs: 600_000, factor: 4, jitter: 0.2 },
  handlerTimeoutMs: 60_000,
  staleAfterMs: 15_000,
  // Below 10 s, so that the partitions of a process that vanished have new owners within 10 s.
  orderedStaleAfterMs: 8_000,
  maxHeld: 1_000,
  // A group that keeps everything has no hard limit to borrow, so its parked events get a bound of their own.
  maxParked: 200_000,
  alerts: { maxLagSeconds: 60, maxPending: 1_000, maxDead: 0 }
}

/** Says every fault to `fault`; what it returns then is of no use. */
export function groupDefinition(
  stream: string,
  name: string,
  given: GroupOptions,
  { hardLimit, partitions }: { hardLimit: number; partitions?: number },
  fault: (text: string) => void
): GroupDefinition {
  const external = given.external ?? false
  if (external === (given.handler !== undefined))
    fault(external ? 'an external group has no handler' : 'has no handler (or say external: true)')
  for (const field of [
    'concurrency',
    'maxAttempts',
    'handlerTimeoutMs',
    'staleAfterMs',
    'maxParked',
    'maxHeld'
  ] as const) {
    const value = given[field]
    if (value !== undefined && !(Number.isInteger(value) && value >= 1))
      fault(`${field} is a whole number of at least 1`)
  }
  const ratePerSecond = given.ratePerSecond ?? given.handler?.ratePerSecond
  if (ratePerSecond !== undefined && !(ratePerSecond > 0 && Number.isFinite(ratePerSecond)))
    fault('ratePerSecond is a number above 0')
  const ordered = given.ordered ?? false
  if (ordered && (external || partitions === undefined)) fault('ordered needs a handler and a stream with partitions')
  if (given.rebuild !== undefined && !ordered) fault('rebuild needs ordered')
  const backoff = { ...defaults.backoff, ...given.backoff }
  if (
    !(
      backoff.minMs >= 1 &&
      backoff.maxMs >= backoff.minMs &&
      backoff.factor >= 1 &&
      backoff.jitter >= 0 &&
      backoff.jitter <= 1
    )
  )
    fault('backoff needs 1 <= minMs <= maxMs, factor >= 1 and jitter between 0 and 1')
  return {
    name,
    stream,
    handler: given.handler,
    external,
    pins: given.pins ?? !external,
    from: given.from ?? 'beginning',
    concurrency: given.concurrency ?? defaults.concurrency,
    ratePerSecond,
    maxAttempts: given.maxAttempts ?? defaults.maxAttempts,
    backoff,
    handlerTimeoutMs: given.handlerTimeoutMs ?? defaults.handlerTimeoutMs,
    staleAfterMs: given.staleAfterMs ?? (ordered ? defaults.orderedStaleAfterMs : defaults.staleAfterMs),
    maxParked: given.maxParked ?? (Number.isFinite(hardLimit) ? hardLimit : defaults.maxParked),
    types: given.types === undefined ? undefined : new Set(given.types),
    ordered,
    maxHeld: given.maxHeld ?? defaults.maxHeld,
    rebuild: given.rebuild,
    alerts: { ...defaults.alerts, ...given.alerts },
    start: given.start,
    stop: given.stop
  }
}
