/**
 * A verified delivery as the event that is stored. The body goes in byte for byte: as `data` when it is JSON, else as
 * `data_base64`.
 */
import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'
import { attributeFault, isAttributeText } from '../ingest/attributes.ts'
import { seenDigest } from '../ingest/dedupe.ts'
import { isJsonType } from '../ingest/media-type.ts'
import type { CloudEvent } from '../streams/entry.ts'
import type { Publication } from '../streams/publisher.ts'
import { readJson } from './json-pointer.ts'
import { lookUp } from './lookup.ts'
import { deliveryIdentity } from './preset-definition.ts'
import type { Headers } from './request.ts'
import type { SourceDefinition } from './source-definition.ts'

/** A request to a source, as the HTTP layer hands it over. */
export interface Delivery {
  method: string
  /** The query string as received, with its question mark; empty without one. */
  search: string
  query: Readonly<Record<string, string | string[] | undefined>>
  headers: Headers
  body: Buffer
}

/** An id or a subject beyond this is no name. */
const maxNameLength = 1_024
const maxTypeLength = 255

/**
 * What is stored for a delivery, and the digests by which it is known again.
 *
 * One is the sender's delivery id. Unless the signature covers it, or a timestamp that makes a replay come too late,
 * whoever captured a delivery could send it again under a fresh id: there the body counts too, as it does where the
 * sender has no id. Known gap: such a sender's two deliveries with equal bodies are one event. (Who captured a token can
 * send anything, so there is nothing to defend and the id is enough.)
 */
export function publicationOf(
  source: SourceDefinition,
  verdict: { id?: string; type?: string },
  { headers, body }: Delivery,
  now: Date
): Publication {
  const { name, preset, stream, dedupeWindowMs: windowMs } = source
  const { idSigned, firstOfBatch, toleranceSeconds } = deliveryIdentity(preset)
  const hasWindow = (source.toleranceSeconds === undefined ? toleranceSeconds : source.toleranceSeconds) !== null
  const id = firstOfBatch ? undefined : nameFrom(verdict.id)
  const isProven = idSigned || hasWindow || preset.kind === 'token'
  const sha256 = id === undefined || !isProven ? hash('sha256', body, 'hex') : undefined
  const event: CloudEvent = {
    id: id ?? String(sha256),
    source: `/webhooks/${name}`,
    type: typeOf(name, verdict.type),
    time: now.toISOString(),
    subject: nameFrom(lookUp(preset.subject, headers, body)),
    ...contentOf(headers, body),
    extensions: keptHeaders(source.keepHeaders, headers)
  }
  const within = lookUp(preset.id?.within, headers, body)
  const digests = [
    ...(id === undefined ? [] : [seenDigest('webhook', name, within === undefined ? id : `${within}\n${id}`)]),
    ...(sha256 === undefined ? [] : [seenDigest('webhook-body', name, sha256)])
  ]
  const [digest, ...aliases] = digests
  return { event, stream, digest, aliases, windowMs }
}

function nameFrom(text: string | undefined): string | undefined {
  return text !== undefined && text.length <= maxNameLength && isAttributeText(text) ? text : undefined
}

/** The sender's own spelling as far as a type name allows it. */
function typeOf(source: string, sent = 'event'): string {
  return `${source}.${sent.slice(0, maxTypeLength).replace(/[^A-Za-z0-9._:/-]+/g, '_')}`.slice(0, maxTypeLength)
}

function contentOf(headers: Headers, body: Buffer): Pick<CloudEvent, 'datacontenttype' | 'data' | 'data_base64'> {
  const sent = [headers['content-type']].flat()[0]
  const datacontenttype = sent === undefined || attributeFault('datacontenttype', sent) !== undefined ? undefined : sent
  if (body.length === 0) return { datacontenttype }
  const isJson =
    (datacontenttype === undefined || isJsonType(datacontenttype)) && isUtf8(body) && readJson(body) !== undefined
  return isJson ? { datacontenttype, data: body.toString() } : { datacontenttype, data_base64: body.toString('base64') }
}

function keptHeaders(names: readonly string[], headers: Headers): Record<string, string> | undefined {
  const kept = names.flatMap((name) => {
    const sent = headers[name]
    return sent === undefined ? [] : [[name, Array.isArray(sent) && sent.length === 1 ? sent[0] : sent] as const]
  })
  if (kept.length === 0) return undefined
  // Header bytes are Latin-1, whose control characters an attribute may not hold.
  const text = JSON.stringify(Object.fromEntries(kept)).replace(
    /[\x7f-\x9f]/g,
    (control) => `\\u00${control.charCodeAt(0).toString(16)}`
  )
  return { httpheaders: text }
}
