import type { FastifyBaseLogger } from 'fastify'

export interface RefusalLog {
  add: (refusal: { code: string; status: number }) => void
  /** Says what was not said yet. */
  end: () => void
}

const EVERY_MS = 1_000

/**
 * Logs refusals that come in floods: the first of a code at once, then once per second how many there were since. Writing
 * a line for each would take as long as refusing it.
 */
export function createRefusalLog(log: FastifyBaseLogger): RefusalLog {
  const open = new Map<string, { count: number; last: object; timer: NodeJS.Timeout }>()

  const said = (code: string) => {
    const flood = open.get(code)
    if (flood === undefined) return
    if (flood.count === 0) {
      open.delete(code)
      return
    }
    log.warn({ ...flood.last, count: flood.count }, 'requests refused')
    flood.count = 0
    flood.timer.refresh()
  }
  return {
    add(refusal) {
      const flood = open.get(refusal.code)
      if (flood === undefined) {
        log.warn(refusal, 'request refused')
        open.set(refusal.code, { count: 0, last: refusal, timer: setTimeout(said, EVERY_MS, refusal.code) })
      } else {
        flood.count += 1
        flood.last = refusal
      }
    },
    end() {
      for (const { count, last, timer } of open.values()) {
        clearTimeout(timer)
        if (count > 0) log.warn({ ...last, count }, 'requests refused')
      }
      open.clear()
    }
  }
}
