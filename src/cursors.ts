/** Opaque cursors of lists: where a page ended, readable by nobody but us. */
import { ProblemError } from './errors.ts'

export function cursorFrom(position: object | undefined): string | undefined {
  return position === undefined ? undefined : Buffer.from(JSON.stringify(position)).toString('base64url')
}

/**
 * The position behind a cursor that `isPosition` accepts; undefined without one.
 * Throws ProblemError `invalid-parameter` for anything this process would not have written for such a list.
 */
export function positionFrom<Position>(
  cursor: string | undefined,
  isPosition: (value: unknown) => value is Position
): Position | undefined {
  if (cursor === undefined) return undefined
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (isPosition(value)) return value
  } catch {
    // Said below.
  }
  const detail = 'is not a cursor of this list'
  throw new ProblemError('invalid-parameter', { detail: `cursor ${detail}`, errors: [{ pointer: '/cursor', detail }] })
}

/** A position in a list over the parts of a stream; without `id` the part's beginning. */
export interface PagePosition {
  part: number
  id?: string
}

export function isPagePosition(value: unknown): value is PagePosition {
  return isPosition(value, /^\d{1,20}-\d{1,20}$/)
}

/** In lists of pending entries an id may be one of the requeue stream. */
export function isPendingPosition(value: unknown): value is PagePosition {
  return isPosition(value, /^(requeue:)?\d{1,20}-\d{1,20}$/)
}

function isPosition(value: unknown, pattern: RegExp): boolean {
  const { part, id } = (value ?? {}) as { part: unknown; id: unknown }
  const isId = id === undefined || (typeof id === 'string' && pattern.test(id))
  return Number.isInteger(part) && (part as number) >= 0 && isId
}

/**
 * The entry id that `from` or `to` means: an entry id itself, or a time (RFC 3339), whose first or last id it is. `also`
 * names what else the caller takes.
 * Throws ProblemError `invalid-parameter` for anything else.
 */
export function entryIdFrom(text: string, name: string, end: 'first' | 'last' = 'first', also = ''): string {
  if (/^\d{1,20}(-\d{1,20})?$/.test(text)) return text
  const at = /^\d{4}-\d{2}-\d{2}T/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(at) && at >= 0) return end === 'first' ? `${at}-0` : `${at}-18446744073709551615`
  const detail = `is ${also}an entry id such as 1694012345678-0, or a time such as 2026-01-31T10:00:00Z`
  throw new ProblemError('invalid-parameter', {
    detail: `${name} ${detail}`,
    errors: [{ pointer: `/${name}`, detail }]
  })
}
