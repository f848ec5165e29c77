/**
 * The body of a publish request to drafts, as CloudEvents 1.0.2 and its HTTP and JSON bindings say.
 */
import { isUtf8 } from 'node:buffer'
import type { Decoded } from './draft.ts'
import { type Faults, oneFault } from './faults.ts'
import { decodeBinaryEvent } from './headers.ts'
import { decodeJsonEvents, jsonForms } from './json-events.ts'
import type { Headers, Mode } from './media-type.ts'

/**
 * Decodes a whole body; for `ndjson` the body is one line. All or nothing: with one fault there are no drafts.
 * Pure, and never throws whatever the bytes are. An array of more than `maxEvents` is refused without reading on.
 */
export function decodeEvents(mode: Mode, headers: Headers, body: Buffer, maxEvents = Infinity): Decoded | Faults {
  if (mode === 'binary') return decodeBinaryEvent(headers, body)
  if (mode === 'unsupported') return oneFault('unsupported-media-type', '', 'this media type carries no events')
  if (!isUtf8(body)) return oneFault('malformed-json', '', 'the body is not UTF-8')
  return decodeJsonEvents(body.toString(), jsonForms[mode === 'ndjson' ? 'line' : mode], maxEvents)
}
