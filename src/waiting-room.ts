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

/** How much may wait. */
export interface Room {
  /** CPU time of all of it. */
  ms: number
  /** So much in any case, whatever it costs. */
  atLeast: number
}

export interface WaitingRoomLimits {
  /** CPU time for work in one turn. */
  sliceMs: number
  /** A burst is rather done late than refused, and clients that wait for their answers before they send more are no overload. */
  calm: Room
  /** After refusals for `lastingMs` on end, until there was none for that long: what is let in shall then be done soon. */
  pressed: Room
  lastingMs: number
  /** So much in either, until `coldCount` is done: before the engine has compiled what is hot, costs say nothing of later ones. */
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
  const { sliceMs, calm, pressed, lastingMs, coldAtLeast, coldCount } = limits
  const slice = createSlice(sliceMs)
  const waiting: Work[] = []
  /** Callbacks to come: one for each that waits, and for some that were refused. */
  let scheduled = 0
  let begun = 0
  /** Monotonic milliseconds of the last refusal, and of the one with which they began. */
  let refusedAt = Number.NEGATIVE_INFINITY
  let refusedSince = 0

  const isLate = ({ ms, atLeast }: Room) => {
    const few = begun < coldCount ? coldAtLeast : atLeast
    return waiting.length > few && (waiting.length - 1) * slice.costMs() >= ms
  }
  const refuseLate = () => {
    if (!isLate(pressed)) return
    const now = performance.now()
    const pause = now - refusedAt > lastingMs
    const room = !pause && now - refusedSince > lastingMs ? pressed : calm
    if (!isLate(room)) return
    if (pause) refusedSince = now
    refusedAt = now
    while (isLate(room)) waiting.pop()?.refuse()
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
