/** What append.lua is given and what it answers (pure). Its header says the same from the other side. */
import type { Bulk, Encoded } from './commands.ts'
import type { StreamKeys } from './keys.ts'
import type { StoredEntry } from './outcomes.ts'

export interface AppendEvent {
  /** Flat `[name, value, ...]` as XADD takes it. */
  fields: string[]
  /** How the event is recognised when it comes again; absent: it never is. */
  seen?: {
    digest: string
    /** More digests of the same event; one that is known makes it known. */
    aliases?: readonly string[]
    windowMs: number
    /** Goes with `digest`. */
    fingerprint?: string
  }
}

export interface AppendUnit {
  events: AppendEvent[]
  /** A handler's own: may go 10 % above the hard limit. */
  fromHandler?: boolean
}

/** The most events the stream may hold once a unit is stored. */
export type LimitOf = (unit: AppendUnit) => number

/** The call of append.lua for these units. `waits`: WAIT or WAITAOF is sent behind it. */
export function flushCall(
  bulk: Bulk,
  keys: StreamKeys,
  flushKey: string,
  sequence: number,
  units: readonly AppendUnit[],
  limitOf: LimitOf,
  waits: boolean
): Encoded {
  const shapes = new Shapes()
  let plan = ''
  let keyText = bulk(keys.stream) + bulk(flushKey) + bulk(keys.remembered)
  let keyCount = 3
  let values = ''
  let argCount = 2
  const digests = new Set<string>()
  const addKey = (digest: string) => {
    keyText += bulk(keys.seen(digest))
    keyCount += 1
    digests.add(digest)
  }
  for (const unit of units) {
    const { events } = unit
    plan += `${plan === '' ? '' : ','}[${events.length},${limitOf(unit)}`
    for (let from = 0; from < events.length; ) {
      const to = endOfRun(events, from)
      const { number, own } = shapes.of(events, from, to)
      plan += `,${number},${to - from}`
      for (; from < to; from += 1) {
        const { fields, seen } = events[from] as AppendEvent
        if (seen !== undefined) {
          addKey(seen.digest)
          for (const alias of seen.aliases ?? none) addKey(alias)
          if (seen.fingerprint !== undefined) {
            values += bulk(seen.fingerprint)
            argCount += 1
          }
        }
        for (const i of own) values += bulk(fields[i] as string)
        argCount += own.length
      }
    }
    plan += ']'
  }
  const repeats = digests.size < keyCount - 3
  const planText = `[${waits ? 1 : 0},${repeats ? 1 : 0},[${shapes.texts()}],[${plan}]]`
  return { keys: keyText, keyCount, args: bulk(String(sequence)) + bulk(planText) + values, argCount }
}

const none: readonly string[] = []

/** What events have in common, and the positions of the values that each has of its own. */
interface Shape {
  /** From 1. */
  number: number
  own: readonly number[]
}

/** The shapes of one flush. */
class Shapes {
  readonly #known = new Map<string, Shape>()
  /** Of the last event that came alone. */
  #last?: { event: AppendEvent; shape: Shape }

  /** Of these events, which are alike. What comes alone has in common with others only what all events of its type have. */
  of(events: readonly AppendEvent[], from: number, to: number): Shape {
    const first = events[from] as AppendEvent
    const isAlone = to === from + 1
    if (isAlone && this.#last !== undefined && areAlike(first, this.#last.event)) return this.#last.shape
    const { fields, seen } = first
    const keyCount = seen === undefined ? 0 : 1 + (seen.aliases?.length ?? 0)
    const own: number[] = []
    const shared = fields.map((field, i) => {
      if (i % 2 === 0 || fields[i - 1] === 'type' || (!isAlone && isShared(events, from, to, i))) return field
      own.push(i)
      return 0
    })
    const text = JSON.stringify([seen?.windowMs ?? 0, keyCount, seen?.fingerprint === undefined ? 0 : 1, ...shared])
    const shape = this.#known.get(text) ?? { number: this.#known.size + 1, own }
    this.#known.set(text, shape)
    if (isAlone) this.#last = { event: first, shape }
    return shape
  }

  /** In the order of their numbers. */
  texts(): string {
    return [...this.#known.keys()].join(',')
  }
}

/** The end of the events behind `from` that are alike. */
function endOfRun(events: readonly AppendEvent[], from: number): number {
  const first = events[from] as AppendEvent
  let to = from + 1
  while (to < events.length && areAlike(events[to] as AppendEvent, first)) to += 1
  return to
}

function areAlike(a: AppendEvent, b: AppendEvent): boolean {
  const x = a.fields
  const y = b.fields
  if (x.length !== y.length) return false
  for (let i = 0; i < x.length; i += 2) if (x[i] !== y[i] || (x[i] === 'type' && x[i + 1] !== y[i + 1])) return false
  return (
    a.seen?.windowMs === b.seen?.windowMs &&
    a.seen?.aliases?.length === b.seen?.aliases?.length &&
    (a.seen?.fingerprint === undefined) === (b.seen?.fingerprint === undefined)
  )
}

/** All these events have the same value there, and JSON can say it. `data` stays out of JSON. */
function isShared(events: readonly AppendEvent[], from: number, to: number, i: number): boolean {
  const { fields } = events[from] as AppendEvent
  const name = fields[i - 1] as string
  const value = fields[i] as string
  if (name === 'data' || name === 'data_base64' || !value.isWellFormed()) return false
  for (let n = from + 1; n < to; n += 1) if (events[n]?.fields[i] !== value) return false
  return true
}

export type UnitResult =
  | { status: 'appended'; entries: StoredEntry[] }
  | { status: 'full' }
  | { status: 'reused'; index: number }

/** One result per unit, in their order. Throws when the answer is not one of these units: a bug, not an outcome. */
export function flushResults(text: string, units: readonly AppendUnit[]): UnitResult[] {
  const tokens = text.split(' ')
  let next = 0
  const take = (): string => {
    const token = tokens[next]
    if (!token) throw new Error(`append.lua answered ${tokens.length} results for ${units.length} units`)
    next += 1
    return token
  }
  return units.map((unit): UnitResult => {
    const first = tokens[next]
    if (first === '!full') {
      next += 1
      return { status: 'full' }
    }
    if (first?.startsWith('!reused:')) {
      next += 1
      return { status: 'reused', index: Number(first.slice('!reused:'.length)) - 1 }
    }
    return { status: 'appended', entries: unit.events.map(() => entryFrom(take())) }
  })
}

function entryFrom(token: string): StoredEntry {
  return token.startsWith('=') ? { entryId: token.slice(1), duplicate: true } : { entryId: token, duplicate: false }
}
