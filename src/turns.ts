/**
 * How much CPU time the present turn of the event loop has used.
 *
 * CPU time and not the clock: a process that others keep from the processor is late, and refusing what little work it has
 * would make it no faster.
 */
import { threadCpuUsage } from 'node:process'

export interface Turns {
  /** Something arrived in this turn. Costs next to nothing but for the first of a turn (0.4 µs). */
  begin: () => void
  /** True once the turn has used what it may. */
  isSpent: () => boolean
}

/**
 * A turn may use `burstMs` of CPU time, so that a burst is served late rather than refused, and `busyMs` once turns have
 * used more than that for `lastingMs`.
 */
export function createTurns(busyMs: number, burstMs: number, lastingMs: number): Turns {
  let isRunning = false
  let beganAt = 0
  let beganCpuMs = 0
  let endedAt = 0
  let calmAt = performance.now()
  let allowedMs = burstMs
  let spent = false

  /** No thread uses more CPU time than passes, and the clock is a tenth of the price. */
  const hasUsed = (ms: number, now: number) => now - beganAt > ms && cpuMs() - beganCpuMs > ms
  const end = () => {
    isRunning = false
    spent = false
    endedAt = performance.now()
    if (!hasUsed(busyMs, endedAt)) calmAt = endedAt
  }
  return {
    begin() {
      if (isRunning) return
      isRunning = true
      beganAt = performance.now()
      beganCpuMs = cpuMs()
      // Nothing arrived for a while: whatever happened before is over.
      if (beganAt - endedAt > lastingMs) calmAt = beganAt
      allowedMs = beganAt - calmAt > lastingMs ? busyMs : burstMs
      setImmediate(end)
    },
    isSpent() {
      if (isRunning && !spent) spent = hasUsed(allowedMs, performance.now())
      return spent
    }
  }
}

function cpuMs(): number {
  const { user, system } = threadCpuUsage()
  return (user + system) / 1_000
}
