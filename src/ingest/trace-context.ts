/**
 * W3C Trace Context headers of a request, as the attributes of the CloudEvents distributed tracing extension.
 */
import type { Headers } from './media-type.ts'

export interface TraceContext {
  traceparent: string
  tracestate?: string
}

const traceparent = /^(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const key = '[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?|[a-z][a-z0-9_*/-]{0,255}'
const member = new RegExp(`^(?:${key})=[\\x20-\\x2b\\x2d-\\x3c\\x3e-\\x7e]{0,255}[\\x21-\\x2b\\x2d-\\x3c\\x3e-\\x7e]$`)
const maxMembers = 32

/**
 * The trace a request belongs to; undefined without one. A header that breaks a rule is as good as none, and never an
 * error; without a valid traceparent there is no tracestate.
 */
export function traceContextFrom(headers: Headers): TraceContext | undefined {
  const sent = headers.traceparent
  if (typeof sent !== 'string') return undefined
  const [, version, ids, flags = '', more] = traceparent.exec(sent) ?? []
  if (version === undefined || (version === '00' && more !== undefined)) return undefined
  // Of a later version only what version 00 knows is passed on: the ids and whether the trace is sampled.
  const own = version === '00' ? sent : `00-${ids}-0${Number.parseInt(flags, 16) & 1}`
  return { traceparent: own, tracestate: tracestateFrom(headers.tracestate) }
}

function tracestateFrom(sent: string | string[] | undefined): string | undefined {
  if (sent === undefined) return undefined
  const members = String(sent)
    .split(',')
    .map((part) => part.replace(/^[ \t]+|[ \t]+$/g, ''))
    .filter((part) => part !== '')
  const isValid = members.length > 0 && members.length <= maxMembers && members.every((part) => member.test(part))
  return isValid ? members.join(',') : undefined
}
