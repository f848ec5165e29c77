/**
 * Work waits here until the end of the turn of the event loop in which it came or, when it comes faster than the loop does
 * it, for later turns, in its order. What would wait too long is refused.
 *
 * What came in one turn is done in one go: one event after the other is decoded and checked for less than in between the
 * reading of connections. Each turn does work for a few milliseconds and then looks around, so that answers of Redis do not
 * wait behind requests. How long something would wait is told from how many wait and what each has cost lately, in CPU
 * time and not by the clock: a process that others keep from the processor is late, and refusing what little work it has
 * would make it no faster.
 */
import { threadCpuUsage } from 'node:process'

export interface WaitingRoomLimits {
  /** CPU time for work in one turn. */
  sliceMs: number
  /** How much work may wait: what a burst brings is rather done late than refused, ... */
  burstMs: number
  /** ... but when turns have left some over for `lastingMs` on end, what is let in shall still be done soon. */
  busyMs: number
  lastingMs: number
  /** So much may wait whatever it costs: a few clients that send large batches are no overload. */
  atLeast: number
  /** So much, until `coldCount` is done: before the engine has compiled what is hot, costs say nothing of later ones. */
  coldAtLeast: number
  coldCount: number
}

export interface Work {
  begin: () => void
  /** It will not be begun: it would have to wait too long. */
  refuse: () => void
}

export interface WaitingRoom {
  /** Begins it at the end of this turn or in a later one, or refuses it, at the latest when its turn would have come. */
  enter: (work: Work) => void
}

/**
 * What earlier turns count for beside the last one in what a piece of work costs. Sums are compared and not the turns'
 * averages, so that a turn in which a garbage collection left time for little work counts for little.
 */
const MEMORY = 0.5

export function createWaitingRoom(limits: WaitingRoomLimits): WaitingRoom {
  const { sliceMs, burstMs, busyMs, lastingMs, atLeast, coldAtLeast, coldCount } = limits
  const slice = createSlice(sliceMs)
  const waiting: Work[] = []
  /** Callbacks to come: one for each that waits, and for some that were refused. */
  let scheduled = 0
  let begun = 0
  /** Monotonic milliseconds of when turns began to leave work over, and of when one did last. */
  let crowdedSince = 0
  let crowdedAt = Number.NEGATIVE_INFINITY

  const crowded = () => {
    const now = performance.now()
    // A short turn in an overload is no end of it.
    if (now - crowdedAt > lastingMs) crowdedSince = now
    crowdedAt = now
  }
  const limitMs = () => {
    const lasts = crowdedAt - crowdedSince > lastingMs && performance.now() - crowdedAt <= lastingMs
    return lasts ? busyMs : burstMs
  }
  const refuseLate = () => {
    const few = begun < coldCount ? coldAtLeast : atLeast
    while (waiting.length > few && (waiting.length - 1) * slice.costMs() >= limitMs()) waiting.pop()?.refuse()
  }
  const schedule = () => {
    if (scheduled >= waiting.length) return
    scheduled += 1
    setImmediate(next)
  }
  // Each has a callback of its own: what it does in promises is done before the next one, and counts.
  const next = () => {
    scheduled -= 1
    // One was refused since.
    if (scheduled >= waiting.length) return
    if (slice.isSpent()) {
      crowded()
      // What it cost may not have been known when the others came.
      refuseLate()
      schedule()
    } else {
      begun += 1
      slice.count()
      waiting.shift()?.begin()
    }
  }
  return {
    enter(work) {
      waiting.push(work)
      refuseLate()
      schedule()
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
