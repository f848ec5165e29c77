/** What append.lua is given and what it answers (pure). Its header says the same from the other side. */
import { bulk, type Encoded } from './commands.ts'
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

// Field names recur in every event: encoded once.
const names = new Map(
  ['id', 'source', 'type', 'time', 'subject', 'datacontenttype', 'dataschema', 'data', 'data_base64'].map((name) => [
    name,
    bulk(name)
  ])
)

/** The call of append.lua for these units. `waits`: WAIT or WAITAOF is sent behind it. */
export function flushCall(
  keys: StreamKeys,
  flushKey: string,
  sequence: number,
  units: readonly AppendUnit[],
  limitOf: LimitOf,
  waits: boolean
): Encoded {
  let keyText = bulk(keys.stream) + bulk(flushKey) + bulk(keys.remembered)
  let keyCount = 3
  let plan = waits ? '1 ' : '0 '
  let args = ''
  let argCount = 2
  for (const unit of units) {
    plan += `${unit.events.length} ${limitOf(unit)} `
    for (const { fields, seen } of unit.events) {
      if (seen === undefined) plan += `${fields.length} 0 0 `
      else {
        const { digest, aliases = [], windowMs } = seen
        plan += `${fields.length} ${windowMs} ${1 + aliases.length} `
        keyText += bulk(keys.seen(digest))
        for (const alias of aliases) keyText += bulk(keys.seen(alias))
        keyCount += 1 + aliases.length
        args += bulk(seen.fingerprint ?? '')
        argCount += 1
      }
      for (let i = 0; i < fields.length; i += 2) {
        const name = fields[i] as string
        args += (names.get(name) ?? bulk(name)) + bulk(fields[i + 1] as string)
      }
      argCount += fields.length
    }
  }
  return { keys: keyText, keyCount, args: bulk(String(sequence)) + bulk(plan) + args, argCount }
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
