/**
 * What a request's Content-Type and headers say about the form of its body.
 */

/**
 * `json`: our own form, a CloudEvent object or an array of them in which only `type` is required.
 * `structured`, `batched`, `binary`: the modes of the CloudEvents HTTP binding. `ndjson`: one `json` event per line.
 */
export type Mode = 'json' | 'structured' | 'batched' | 'binary' | 'ndjson' | 'unsupported'

/** Node's `headers` or `headersDistinct`, names in any case. Only the latter shows a header that was sent twice. */
export type Headers = Record<string, string | string[] | undefined>

const jsonType = /^[^/]+\/(?:json|[^/]+\+json)$/
const foreignCharset = /;\s*charset\s*=(?!\s*"?(?:utf-?8|us-ascii)\b)/i

/** The mode of a request; `unsupported` deserves a 415. */
export function modeOf(contentType: string | undefined, headers: Headers): Mode {
  const type = essence(contentType)
  // The batch prefix is one of `application/cloudevents` too, so whatever starts with that and is not JSON ends here.
  if (type.startsWith('application/cloudevents')) {
    if (foreignCharset.test(contentType ?? '')) return 'unsupported'
    if (type === 'application/cloudevents+json') return 'structured'
    return type === 'application/cloudevents-batch+json' ? 'batched' : 'unsupported'
  }
  if (hasEventHeader(headers)) return 'binary'
  if (type !== 'application/json' && type !== 'application/x-ndjson') return 'unsupported'
  if (foreignCharset.test(contentType ?? '')) return 'unsupported'
  return type === 'application/json' ? 'json' : 'ndjson'
}

/** Is a body of this media type JSON: a subtype `json`, or one that ends in `+json`? */
export function isJsonType(contentType: string | undefined): boolean {
  return jsonType.test(essence(contentType))
}

/** The media type in lower case, without parameters; `''` for none. */
function essence(contentType: string | undefined): string {
  if (contentType === undefined || contentType === 'application/json') return contentType ?? ''
  const semicolon = contentType.indexOf(';')
  return (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase()
}

function hasEventHeader(headers: Headers): boolean {
  for (const name in headers) if (isEventHeader(name)) return true
  return false
}

export function isEventHeader(name: string): boolean {
  return name.charCodeAt(2) === 0x2d && (name.startsWith('ce-') || name.slice(0, 3).toLowerCase() === 'ce-')
}
