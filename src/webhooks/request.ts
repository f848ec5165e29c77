export type Headers = Readonly<Record<string, string | string[] | undefined>>

export interface WebhookRequest {
  /** The configured secrets (public keys for asymmetric schemes); several while rotating. Any may match. */
  secrets: readonly string[]
  method: string
  /**
   * The configured public URL of the source with the query string as received, never from `Host` or a proxy's header.
   * Only schemes that sign it or take a token from it need it.
   */
  url?: string
  /** Lower-case names; a list where a header was sent several times. */
  headers: Headers
  body: Uint8Array
  /** Milliseconds since the epoch. */
  now: number
  /** Seconds, in place of the preset's own window; null accepts any age. */
  toleranceSeconds?: number | null
}

/** Why a request was refused. For logs and metrics: the sender is told nothing. */
export type Reason =
  | 'unknown-preset'
  | 'no-usable-secret'
  | 'missing-header'
  | 'repeated-header'
  | 'header-too-long'
  | 'malformed-header'
  | 'too-many-signatures'
  | 'missing-url'
  | 'body-hash-mismatch'
  | 'malformed-body'
  | 'bad-signature'
  | 'timestamp-out-of-tolerance'

export interface Refusal {
  ok: false
  reason: Reason
}

export const refuse = (reason: Reason): Refusal => ({ ok: false, reason })

export function isRefusal(value: object | string | undefined): value is Refusal {
  return typeof value === 'object' && 'reason' in value
}

const maxHeaderLength = 8_192

/**
 * The value of the first of the named headers that was sent; an empty one counts as not sent.
 * A header sent twice is refused: whoever reads the other copy would see another request.
 */
export function readHeader(headers: Headers, names: readonly string[] = []): string | undefined | Refusal {
  for (const name of names) {
    const sent = headers[name]
    if (Array.isArray(sent) && sent.length > 1) return refuse('repeated-header')
    const value = Array.isArray(sent) ? sent[0] : sent
    if (typeof value !== 'string' || value === '') continue
    return value.length > maxHeaderLength ? refuse('header-too-long') : value
  }
  return undefined
}

/** Node's `rawHeaders` by lower-case name, each as the list of all its values. */
export function headersFrom(rawHeaders: readonly string[]): Record<string, string[]> {
  const headers: Record<string, string[]> = Object.create(null)
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] as string).toLowerCase()
    const values = headers[name] ?? []
    values.push(rawHeaders[i + 1] as string)
    headers[name] = values
  }
  return headers
}
