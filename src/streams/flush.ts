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
  for (const unit of units) {
    plan += `${plan === '' ? '' : ','}${unit.events.length},${limitOf(unit)}`
    for (const event of unit.events) {
      plan += `,${shapes.numberOf(event)}`
      const { fields, seen } = event
      if (seen !== undefined) {
        keyText += bulk(keys.seen(seen.digest))
        keyCount += 1
        for (const alias of seen.aliases ?? none) {
          keyText += bulk(keys.seen(alias))
          keyCount += 1
        }
        if (seen.fingerprint !== undefined) {
          values += bulk(seen.fingerprint)
          argCount += 1
        }
      }
      for (let i = 0; i < fields.length; i += 2) {
        if (isOwn(fields[i])) {
          values += bulk(fields[i + 1] as string)
          argCount += 1
        }
      }
    }
  }
  const planText = `[${waits ? 1 : 0},[${shapes.texts()}],[${plan}]]`
  return { keys: keyText, keyCount, args: bulk(String(sequence)) + bulk(planText) + values, argCount }
}

const none: readonly string[] = []

/** Events of one type are many: it is said once. */
function isOwn(field: string | undefined): boolean {
  return field !== 'type'
}

/** What the events of one flush have in common, numbered from 1. */
class Shapes {
  readonly #numbers = new Map<string, number>()
  #last?: AppendEvent
  #lastNumber = 0

  numberOf(event: AppendEvent): number {
    // Most are like the one before.
    if (this.#last !== undefined && haveSameShape(event, this.#last)) return this.#lastNumber
    const { fields, seen } = event
    const keyCount = seen === undefined ? 0 : 1 + (seen.aliases?.length ?? 0)
    const shared = fields.map((field, i) => (i % 2 === 0 || !isOwn(fields[i - 1]) ? field : 0))
    const text = JSON.stringify([seen?.windowMs ?? 0, keyCount, seen?.fingerprint === undefined ? 0 : 1, ...shared])
    this.#last = event
    this.#lastNumber = this.#numbers.get(text) ?? this.#numbers.size + 1
    this.#numbers.set(text, this.#lastNumber)
    return this.#lastNumber
  }

  /** In the order of their numbers. */
  texts(): string {
    return [...this.#numbers.keys()].join(',')
  }
}

function haveSameShape(a: AppendEvent, b: AppendEvent): boolean {
  const x = a.fields
  const y = b.fields
  if (x.length !== y.length) return false
  for (let i = 0; i < x.length; i += 2) if (x[i] !== y[i] || (!isOwn(x[i]) && x[i + 1] !== y[i + 1])) return false
  return (
    a.seen?.windowMs === b.seen?.windowMs &&
    a.seen?.aliases?.length === b.seen?.aliases?.length &&
    (a.seen?.fingerprint === undefined) === (b.seen?.fingerprint === undefined)
  )
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
