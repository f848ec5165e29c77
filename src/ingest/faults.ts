/**
 * What can be wrong with events before anything is stored, and how it is told.
 */

/** Every code of a fault, with the HTTP status it deserves. A list of faults answers with the first one's. */
export const faultStatuses = {
  'malformed-json': 400,
  'invalid-event': 400,
  'invalid-idempotency-key': 400,
  'too-many-events': 413,
  'unsupported-media-type': 415,
  'unknown-type': 422,
  'schema-violation': 422,
  'missing-partition-key': 422,
  'key-reused': 422
} as const

export type FaultCode = keyof typeof faultStatuses

export interface Fault {
  /** JSON pointer into the body as sent: `/id`, in an array `/3/data/amount`; `''` is the whole body. */
  pointer: string
  detail: string
  code: FaultCode
}

/** The faults of one body. At most `maxFaults` are listed; `more` says how many were left out. */
export interface Faults {
  ok: false
  faults: Fault[]
  more: number
}

/** A body of a megabyte can hold half a million faults; nobody reads past the first hundred. */
export const maxFaults = 100

/** Collects faults; `undefined` from `result` means there was none. */
export interface FaultList {
  add: (code: FaultCode, pointer: string, detail: string) => void
  /** Takes over faults found elsewhere. */
  append: (faults: readonly Fault[]) => void
  result: () => Faults | undefined
}

export function createFaultList(): FaultList {
  const faults: Fault[] = []
  let more = 0
  const push = (fault: Fault) => {
    if (faults.length < maxFaults) faults.push(fault)
    else more += 1
  }
  return {
    add: (code, pointer, detail) => push({ pointer, detail, code }),
    append: (found) => found.forEach(push),
    result: () => (faults.length === 0 ? undefined : { ok: false, faults, more })
  }
}

/** A single fault as the outcome for the whole body. */
export function oneFault(code: FaultCode, pointer: string, detail: string): Faults {
  return { ok: false, faults: [{ pointer, detail, code }], more: 0 }
}

/** A member name as one step of a JSON pointer (RFC 6901). */
export function pointerStep(name: string): string {
  return `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
}
