/**
 * Work that comes faster than the event loop does it waits here, in its order, and what would wait too long is refused.
 *
 * Each turn of the loop does work for a few milliseconds and then looks around, so that answers of Redis do not wait
 * behind requests. How long something would wait is told from how many wait and what each has cost lately, in CPU time
 * and not by the clock: a process that others keep from the processor is late, and refusing what little work it has would
 * make it no faster.
 */
import { threadCpuUsage } from 'node:process'

export interface WaitingRoomLimits {
  /** CPU time for work in one turn. */
  sliceMs: number
  /** How much work may wait: what a burst brings is rather done late than refused, ... */
  burstMs: number
  /** ... but when some has been waiting for `lastingMs` on end, what is let in shall still be done soon. */
  busyMs: number
  lastingMs: number
  /** So much may wait whatever it costs: a few clients that send large batches are no overload. */
  atLeast: number
  /** So much, until `coldCount` is done: before the engine has compiled what is hot, costs say nothing of later ones. */
  coldAtLeast: number
  coldCount: number
}

export interface WaitingRoom {
  /** Runs it at once or in a later turn; false: it never will, it would have to wait too long. */
  enter: (run: () => void) => boolean
}

/**
 * What earlier turns count for beside the last one in what a piece of work costs. Sums are compared and not the turns'
 * averages, so that a turn in which a garbage collection left time for little work counts for little.
 */
const MEMORY = 0.5

export function createWaitingRoom(limits: WaitingRoomLimits): WaitingRoom {
  const { sliceMs, burstMs, busyMs, lastingMs, atLeast, coldAtLeast, coldCount } = limits
  const slice = createSlice(sliceMs)
  const waiting: (() => void)[] = []
  let begun = 0
  let crowdedSince = 0
  let crowdedAt = Number.NEGATIVE_INFINITY

  const limitMs = () => {
    const now = performance.now()
    // A short turn in an overload is no end of it.
    if (now - crowdedAt > lastingMs) crowdedSince = now
    crowdedAt = now
    return now - crowdedSince > lastingMs ? busyMs : burstMs
  }
  const begin = (run: () => void) => {
    begun += 1
    slice.count()
    run()
  }
  // Each has a callback of its own: what it does in promises is done before the next one, and counts.
  const next = () => {
    if (slice.isSpent()) setImmediate(next)
    else {
      const run = waiting.shift()
      if (run !== undefined) begin(run)
    }
  }
  return {
    enter(run) {
      if (waiting.length === 0 && !slice.isSpent()) {
        begin(run)
        return true
      }
      const isLate = waiting.length * slice.costMs() >= limitMs()
      if (isLate && waiting.length >= (begun < coldCount ? coldAtLeast : atLeast)) return false
      waiting.push(run)
      setImmediate(next)
      return true
    }
  }
}

/** The share of work in the present turn, from its first to the next turn. */
function createSlice(ms: number) {
  let isOpen = false
  let isSpent = false
  let beganAt = 0
  let beganCpuMs = 0
  let lookAt = 0
  let counted = 0
  const recent = { ms: 0, count: 0 }

  const end = () => {
    isOpen = false
  }
  const begin = () => {
    isOpen = true
    isSpent = false
    beganAt = performance.now()
    beganCpuMs = cpuMs()
    lookAt = beganAt + ms
    counted = 0
    setImmediate(end)
  }
  return {
    /** What one piece of work costs, as far as that has mattered. */
    costMs: () => (recent.count === 0 ? 0 : recent.ms / recent.count),
    count() {
      counted += 1
    },
    isSpent(): boolean {
      if (!isOpen) begin()
      if (isSpent) return true
      // No thread uses more CPU time than passes: the clock is a tenth of the price, and CPU time may come in ticks of 4 ms.
      const now = performance.now()
      if (now < lookAt || counted === 0) return false
      const usedMs = Math.min(cpuMs() - beganCpuMs, now - beganAt)
      lookAt = now + ms - usedMs
      if (usedMs <= ms) return false
      isSpent = true
      recent.ms = recent.ms * MEMORY + usedMs
      recent.count = recent.count * MEMORY + counted
      return true
    }
  }
}

function cpuMs(): number {
  const { user, system } = threadCpuUsage()
  return (user + system) / 1_000
}
