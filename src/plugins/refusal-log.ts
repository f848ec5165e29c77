import type { FastifyBaseLogger } from 'fastify'

export interface RefusalLog {
  add: (refusal: { code: string; status: number }) => void
  /** Says what was not said yet. */
  end: () => void
}

const EVERY_MS = 1_000
/** Lines of one code per second while it is no flood: enough to see who and where. */
const IN_FULL = 10

interface Recent {
  lines: number
  /** Refusals since the last line. */
  count: number
  last: { code: string; status: number }
  timer: NodeJS.Timeout
}

/**
 * Logs refusals, which may come in floods: up to ten of a code in a second at once, then once per second how many there
 * were since, until a second passes without. Writing a line for each would take as long as refusing it.
 */
export function createRefusalLog(log: Pick<FastifyBaseLogger, 'info' | 'warn'>): RefusalLog {
  const recent = new Map<string, Recent>()

  const sumUp = ({ count, last }: Recent) => log[levelOf(last.status)]({ ...last, count }, 'requests refused')
  const onSecond = (code: string) => {
    const flood = recent.get(code)
    if (flood === undefined) return
    if (flood.count === 0) {
      recent.delete(code)
      return
    }
    sumUp(flood)
    flood.count = 0
    flood.timer.refresh()
  }
  return {
    add(refusal) {
      const known = recent.get(refusal.code)
      if (known === undefined) {
        const timer = setTimeout(onSecond, EVERY_MS, refusal.code)
        recent.set(refusal.code, { lines: 1, count: 0, last: refusal, timer })
      } else if (known.lines < IN_FULL) known.lines += 1
      else {
        known.count += 1
        known.last = refusal
        return
      }
      log[levelOf(refusal.status)](refusal, 'request refused')
    },
    end() {
      for (const flood of recent.values()) {
        clearTimeout(flood.timer)
        if (flood.count > 0) sumUp(flood)
      }
      recent.clear()
    }
  }
}

/** What the operator may have to act on is a warning; what a client did wrong is not. */
export function levelOf(status: number): 'info' | 'warn' {
  return status === 503 || status === 429 ? 'warn' : 'info'
}
