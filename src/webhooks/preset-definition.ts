/**
 * How one webhook sender signs, and where its delivery id and event type stand. Plain data: a topology may give one for
 * a sender that presets.ts does not name; `checkPreset` reads it at start.
 */

/** What `signed` may name. `{unescapedUrl}` is HubSpot's; `{twilio}` stands alone. See content.ts. */
export const placeholders = ['id', 'timestamp', 'body', 'url', 'unescapedUrl', 'method', 'twilio'] as const

/** Where a text is found: the first header that was sent, else the first JSON pointer into the body that finds one. */
export interface Lookup {
  /** Lower-case names. */
  headers?: readonly string[]
  json?: readonly string[]
}

export type SignatureFormat =
  | { type: 'raw' }
  /** `sha256=<signature>`; the prefix is literal and case-sensitive. */
  | { type: 'prefixed'; prefix: string }
  /** `v1,<signature> v1,<signature>`; other versions are skipped. */
  | { type: 'list'; separator: string; versionSeparator: string; version: string }
  /** `t=<timestamp>,v1=<signature>,v1=<signature>`; other keys are skipped. */
  | { type: 'fields'; separator: string; signatureKey: string; timestampKey?: string }

export interface SignatureHeader {
  /** The first one sent decides; a bad value never falls back to the next. */
  headers: readonly string[]
  format: SignatureFormat
  encoding: 'hex' | 'base64'
}

/** A time inside what is signed: its own header, a field of the signature header, or a JSON pointer into the body. */
export interface SignedTimestamp {
  headers?: readonly string[]
  field?: true
  json?: string
  unit: 's' | 'ms' | 'rfc3339'
  /** Seconds of allowed distance to now, both ways, inclusive; null = any. */
  tolerance: number | null
}

export type Handshake = 'meta-get' | 'slack' | 'msgraph' | 'eventgrid' | 'cloudevents-options' | 'discord'

interface Delivery {
  /**
   * `firstOfBatch`: the id of the first event of several, which does not name the delivery. `within`: what the id is
   * unique in, when that is less than the whole source.
   */
  id?: Lookup & { firstOfBatch?: true; within?: Lookup }
  eventType?: Lookup
  /** What the event is about, where the sender names one thing. */
  subject?: Lookup
  /** What the sender wants to hear for a stored delivery; 200 unless given. */
  answer?: { status: number }
  handshake?: Handshake
}

export interface HmacPreset extends Delivery {
  kind: 'hmac'
  algorithm: 'sha256' | 'sha1' | 'sha512'
  signature: SignatureHeader
  /** How the configured secret becomes the key. */
  key: { encoding: 'utf8' | 'base64' | 'hex'; stripPrefix?: string }
  /** The signed content, e.g. `{id}.{timestamp}.{body}`. */
  signed: string
  timestamp?: SignedTimestamp
}

export interface PublicKeyPreset extends Delivery {
  kind: 'publicKey'
  algorithm: 'ed25519' | 'ecdsa-p256-sha256'
  signature: SignatureHeader
  key: { format: 'raw-hex' | 'raw-base64' | 'spki-der-base64'; stripPrefix?: string }
  signed: string
  timestamp?: SignedTimestamp
}

/** For senders that sign nothing: the secret itself travels with each delivery. */
export interface TokenPreset extends Delivery {
  kind: 'token'
  token: {
    headers?: readonly string[]
    /** Literal text in front of the secret in the header, e.g. `Bearer `. */
    prefix?: string
    /** Name of a query parameter, read when none of the headers was sent. */
    query?: string
    /** The secret stands in the body: in `field` of every item of the list at `items` (JSON pointers). */
    json?: { items: string; field: string }
  }
}

export type PresetDefinition = HmacPreset | PublicKeyPreset | TokenPreset

/** What a sender's delivery id and timestamp are worth against replays. */
export interface DeliveryIdentity {
  /** The signature covers the id: a replayed delivery cannot carry a fresh one. */
  idSigned: boolean
  /** The signature covers a timestamp. */
  timestampSigned: boolean
  /** Deliveries older than this are refused, in seconds; null: of any age are accepted. */
  toleranceSeconds: number | null
  /** The id is that of the first event of a batch: two deliveries may share it. Remember the body's digest instead. */
  firstOfBatch: boolean
}

export function deliveryIdentity(definition: PresetDefinition): DeliveryIdentity {
  const { id } = definition
  const signs = definition.kind !== 'token'
  const timestamp = signs ? definition.timestamp : undefined
  // An id that may come from a header is only as good as the header.
  const inBody = id?.json !== undefined && id.headers === undefined
  return {
    idSigned: signs && (inBody || definition.signed.includes('{id}')),
    timestampSigned: timestamp !== undefined,
    toleranceSeconds: timestamp?.tolerance ?? null,
    firstOfBatch: id?.firstOfBatch === true
  }
}
