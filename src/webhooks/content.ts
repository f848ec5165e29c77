import { twilioContents } from './twilio.ts'

/** The parts of a request that a scheme may sign. */
export interface Signable {
  method: string
  /** The configured public URL of the source with the query string as received. Never from `Host` or a proxy header. */
  url?: string
  body: Uint8Array
  contentType?: string
  id?: string
  timestamp?: string
}

/** Consecutive pieces of one signed content. */
export type Content = (string | Uint8Array)[]

// HubSpot decodes exactly these escapes before it signs.
const hubspotEscapes = /%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)/gi

/**
 * Every content that a `signed` template may stand for; one, but for Twilio.
 * Undefined: the request lacks a part that is signed.
 */
export function contentsOf(template: string, request: Signable): Content[] | undefined {
  if (template === '{twilio}') {
    if (request.url === undefined) return undefined
    return twilioContents(request.url, request.contentType ?? '', request.body)?.map((text) => [text])
  }
  const content: Content = []
  for (const [index, piece] of template.split(/\{(\w+)\}/).entries()) {
    const part = index % 2 === 0 ? piece : partOf(piece, request)
    if (part === undefined) return undefined
    if (part.length > 0) content.push(part)
  }
  return [content]
}

function partOf(placeholder: string, request: Signable): string | Uint8Array | undefined {
  switch (placeholder) {
    case 'body':
    case 'id':
    case 'timestamp':
    case 'method':
    case 'url':
      return request[placeholder]
    case 'unescapedUrl':
      return request.url?.replace(hubspotEscapes, (escaped) =>
        String.fromCharCode(Number.parseInt(escaped.slice(1), 16))
      )
    default:
      return undefined
  }
}
