/**
 * One program of this folder: what it started ends with it, and with --check its limits decide how it exits. A figure that
 * is held to no limit is for reading only.
 */
import type { Test } from 'tap'

export interface Trial extends Pick<Test, 'teardown'> {
  /** Prints a figure and its limit, if it has one. */
  figure: (name: string, value: number, unit: string, limit?: Limit) => void
  note: (name: string, text: string) => void
}

type Limit = { atMost: number } | { atLeast: number } | { below: number }

/** Redis as it is measured: every write is on disk before it is answered. */
export const durable = ['--appendonly', 'yes', '--appendfsync', 'always']

export async function trial(run: (t: Trial) => Promise<void>): Promise<void> {
  const ends: (() => unknown)[] = []
  let holds = true
  const note = (name: string, text: string) => console.log(`${name.padEnd(44)}${text}`)
  try {
    await run({
      teardown: (end) => void ends.push(end),
      note,
      figure(name, value, unit, limit) {
        const text = `${amount(value)} ${unit}`
        if (limit === undefined) return note(name, text)
        const isHeld = isWithin(value, limit)
        holds &&= isHeld
        note(name, `${text}   (${limitText(limit)})${isHeld ? '' : '   MISSED'}`)
      }
    })
  } finally {
    for (const end of ends.toReversed()) await end()
  }
  if (process.argv.includes('--check') && !holds) process.exitCode = 1
}

/** Milliseconds of a clock that all processes of this machine share; each one's idea of when it started is off by some. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** The `share` percentile; NaN of nothing. */
export function percentile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * share) - 1] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5)
}

function isWithin(value: number, limit: Limit): boolean {
  if ('atMost' in limit) return value <= limit.atMost
  return 'below' in limit ? value < limit.below : value >= limit.atLeast
}

function limitText(limit: Limit): string {
  if ('atMost' in limit) return `at most ${amount(limit.atMost)}`
  return 'below' in limit ? `below ${amount(limit.below)}` : `at least ${amount(limit.atLeast)}`
}

function amount(value: number): string {
  return value >= 1_000 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)))
}
