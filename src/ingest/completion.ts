/**
 * From drafts to events ready to store: what the client left out is filled in, and one body may not contradict itself.
 */
import { randomUUID } from 'node:crypto'
import type { CloudEvent } from '../streams/entry.ts'
import type { Draft } from './draft.ts'
import type { Fault } from './faults.ts'
import type { TraceContext } from './trace-context.ts'

/** What stands in for attributes that were not sent. */
export interface Defaults {
  source: string
  /** RFC 3339, in milliseconds. */
  now: string
  /** Of the request; an event that brings its own keeps that. */
  trace?: TraceContext
}

/** The complete event; the draft is left as it is, for its fingerprint. */
export function completeEvent(draft: Draft, defaults: Defaults): CloudEvent {
  return {
    id: draft.id ?? randomUUID(),
    source: draft.source ?? defaults.source,
    type: draft.type,
    time: draft.time ?? defaults.now,
    subject: draft.subject,
    datacontenttype: draft.datacontenttype,
    dataschema: draft.dataschema,
    data: draft.data,
    data_base64: draft.data_base64,
    extensions: withTrace(draft.extensions, defaults.trace)
  }
}

function withTrace(sent: Draft['extensions'], trace: TraceContext | undefined): Draft['extensions'] {
  // The two belong together: nothing is mixed from the event's own and the request's.
  if (trace === undefined || sent?.traceparent !== undefined || sent?.tracestate !== undefined) return sent
  const { traceparent, tracestate } = trace
  return tracestate === undefined ? { ...sent, traceparent } : { ...sent, traceparent, tracestate }
}

/**
 * Faults for drafts that share source and id with an earlier one of the same body but not type, subject and data.
 * Equal ones are no fault: the append stores the first and answers `duplicate` for the rest.
 */
export function repeatedIds(drafts: readonly Draft[]): Fault[] {
  if (drafts.length < 2 || idsDiffer(drafts)) return []
  const faults: Fault[] = []
  const first = new Map<string, Draft>()
  for (const draft of drafts) {
    if (draft.id === undefined) continue
    // Attributes hold no control characters, so the line feed keeps the two apart.
    const pair = `${draft.source ?? ''}\n${draft.id}`
    const earlier = first.get(pair)
    if (earlier === undefined) first.set(pair, draft)
    else if (!isSameContent(earlier, draft)) {
      const detail = `is the id of event ${earlier.index} too, which has the same source and another type, subject or data`
      faults.push({ pointer: `${draft.pointer}/id`, detail, code: 'key-reused' })
    }
  }
  return faults
}

function idsDiffer(drafts: readonly Draft[]): boolean {
  const ids = new Set<string>()
  let sent = 0
  for (const draft of drafts) {
    if (draft.id === undefined) continue
    ids.add(draft.id)
    sent += 1
  }
  return ids.size === sent
}

function isSameContent(a: Draft, b: Draft): boolean {
  return a.type === b.type && a.subject === b.subject && a.data === b.data && a.data_base64 === b.data_base64
}
