/** The webhook senders Headgate knows, by name. */
import type { HmacPreset, PresetDefinition, SignatureFormat, SignatureHeader } from './preset-definition.ts'

type Shape = Pick<HmacPreset, 'kind' | 'algorithm' | 'key'>
const utf8Key: Shape = { kind: 'hmac', algorithm: 'sha256', key: { encoding: 'utf8' } }

const signature = (
  header: string,
  encoding: 'hex' | 'base64',
  format: SignatureFormat = { type: 'raw' }
): SignatureHeader => ({
  headers: [header],
  encoding,
  format
})
const sha256Prefix: SignatureFormat = { type: 'prefixed', prefix: 'sha256=' }

function stripeShaped(header: string, subject: string): HmacPreset {
  return {
    ...utf8Key,
    signature: signature(header, 'hex', { type: 'fields', separator: ',', signatureKey: 'v1', timestampKey: 't' }),
    signed: '{timestamp}.{body}',
    timestamp: { field: true, unit: 's', tolerance: 300 },
    id: { json: ['/id'] },
    eventType: { json: ['/type'] },
    subject: { json: [subject] }
  }
}

function standardShaped(version: string) {
  return {
    signature: {
      headers: ['webhook-signature', 'svix-signature'],
      encoding: 'base64',
      format: { type: 'list', separator: ' ', versionSeparator: ',', version }
    },
    signed: '{id}.{timestamp}.{body}',
    timestamp: { headers: ['webhook-timestamp', 'svix-timestamp'], unit: 's', tolerance: 300 },
    id: { headers: ['webhook-id', 'svix-id'] },
    eventType: { json: ['/type'] }
  } satisfies Partial<HmacPreset>
}

const standardWebhooks: HmacPreset = {
  kind: 'hmac',
  algorithm: 'sha256',
  key: { encoding: 'base64', stripPrefix: 'whsec_' },
  ...standardShaped('v1')
}

const table: Record<string, PresetDefinition> = {
  'standard-webhooks': standardWebhooks,
  svix: standardWebhooks,
  'standard-webhooks-ed25519': {
    kind: 'publicKey',
    algorithm: 'ed25519',
    key: { format: 'raw-base64', stripPrefix: 'whpk_' },
    ...standardShaped('v1a')
  },
  github: {
    ...utf8Key,
    signature: signature('x-hub-signature-256', 'hex', sha256Prefix),
    signed: '{body}',
    id: { headers: ['x-github-delivery'] },
    eventType: { headers: ['x-github-event'] },
    subject: { json: ['/repository/full_name', '/organization/login'] }
  },
  // A GitLab hook with a signing token instead of a secret token is `standard-webhooks`.
  gitlab: {
    kind: 'token',
    token: { headers: ['x-gitlab-token'] },
    id: { headers: ['idempotency-key', 'x-gitlab-event-uuid'] },
    eventType: { json: ['/object_kind', '/event_name'] },
    subject: { json: ['/project/path_with_namespace'] }
  },
  meta: {
    ...utf8Key,
    signature: signature('x-hub-signature-256', 'hex', sha256Prefix),
    signed: '{body}',
    eventType: { json: ['/object'] },
    handshake: 'meta-get'
  },
  bitbucket: {
    ...utf8Key,
    signature: signature('x-hub-signature', 'hex', sha256Prefix),
    signed: '{body}',
    id: { headers: ['x-request-uuid'] },
    eventType: { headers: ['x-event-key'] },
    subject: { json: ['/repository/full_name'] }
  },
  stripe: stripeShaped('stripe-signature', '/data/object/id'),
  mux: stripeShaped('mux-signature', '/object/id'),
  slack: {
    ...utf8Key,
    signature: signature('x-slack-signature', 'hex', { type: 'prefixed', prefix: 'v0=' }),
    signed: 'v0:{timestamp}:{body}',
    timestamp: { headers: ['x-slack-request-timestamp'], unit: 's', tolerance: 300 },
    id: { json: ['/event_id'] },
    eventType: { json: ['/event/type', '/type'] },
    handshake: 'slack'
  },
  shopify: {
    ...utf8Key,
    signature: {
      headers: ['x-shopify-hmac-sha256', 'shopify-hmac-sha256'],
      encoding: 'base64',
      format: { type: 'raw' }
    },
    signed: '{body}',
    id: { headers: ['x-shopify-webhook-id', 'shopify-webhook-id'] },
    eventType: { headers: ['x-shopify-topic', 'shopify-topic'] }
  },
  square: {
    ...utf8Key,
    signature: signature('x-square-hmacsha256-signature', 'base64'),
    signed: '{url}{body}',
    id: { json: ['/event_id'] },
    eventType: { json: ['/type'] },
    subject: { json: ['/data/id'] }
  },
  paddle: {
    ...utf8Key,
    signature: signature('paddle-signature', 'hex', {
      type: 'fields',
      separator: ';',
      signatureKey: 'h1',
      timestampKey: 'ts'
    }),
    signed: '{timestamp}:{body}',
    // Paddle's own 5 s: a source behind a queue or with a loose clock wants `toleranceSeconds: 300`.
    timestamp: { field: true, unit: 's', tolerance: 5 },
    id: { json: ['/event_id'] },
    eventType: { json: ['/event_type'] },
    subject: { json: ['/data/id'] }
  },
  linear: {
    ...utf8Key,
    signature: signature('linear-signature', 'hex'),
    signed: '{body}',
    // The `linear-timestamp` header is not signed; this one is.
    timestamp: { json: '/webhookTimestamp', unit: 'ms', tolerance: 60 },
    id: { headers: ['linear-delivery'] },
    eventType: { headers: ['linear-event'] },
    subject: { json: ['/data/id'] }
  },
  zendesk: {
    ...utf8Key,
    signature: signature('x-zendesk-webhook-signature', 'base64'),
    signed: '{timestamp}{body}',
    timestamp: { headers: ['x-zendesk-webhook-signature-timestamp'], unit: 'rfc3339', tolerance: 300 },
    id: { headers: ['x-zendesk-webhook-invocation-id'] },
    eventType: { json: ['/type'] },
    subject: { json: ['/subject'] }
  },
  hubspot: {
    ...utf8Key,
    signature: signature('x-hubspot-signature-v3', 'base64'),
    signed: '{method}{unescapedUrl}{body}{timestamp}',
    timestamp: { headers: ['x-hubspot-request-timestamp'], unit: 'ms', tolerance: 300 },
    id: { json: ['/0/eventId'], firstOfBatch: true },
    eventType: { json: ['/0/subscriptionType'] }
  },
  adyen: {
    kind: 'hmac',
    algorithm: 'sha256',
    key: { encoding: 'hex' },
    signature: signature('hmacsignature', 'base64'),
    signed: '{body}',
    eventType: { json: ['/type'] }
  },
  pagerduty: {
    ...utf8Key,
    signature: signature('x-pagerduty-signature', 'hex', { type: 'fields', separator: ',', signatureKey: 'v1' }),
    signed: '{body}',
    eventType: { json: ['/event/event_type'] },
    subject: { json: ['/event/data/id'] }
  },
  discord: {
    kind: 'publicKey',
    algorithm: 'ed25519',
    key: { format: 'raw-hex' },
    signature: signature('x-signature-ed25519', 'hex'),
    signed: '{timestamp}{body}',
    timestamp: { headers: ['x-signature-timestamp'], unit: 's', tolerance: null },
    id: { json: ['/id'] },
    eventType: { json: ['/event/type', '/type'] },
    handshake: 'discord'
  },
  sendgrid: {
    kind: 'publicKey',
    algorithm: 'ecdsa-p256-sha256',
    key: { format: 'spki-der-base64' },
    signature: signature('x-twilio-email-event-webhook-signature', 'base64'),
    signed: '{timestamp}{body}',
    timestamp: { headers: ['x-twilio-email-event-webhook-timestamp'], unit: 's', tolerance: null },
    id: { json: ['/0/sg_event_id'], firstOfBatch: true },
    eventType: { json: ['/0/event'] }
  },
  twilio: {
    kind: 'hmac',
    algorithm: 'sha1',
    key: { encoding: 'utf8' },
    signature: signature('x-twilio-signature', 'base64'),
    signed: '{twilio}',
    id: { headers: ['i-twilio-idempotency-token'] },
    answer: { status: 204 }
  },
  token: { kind: 'token', token: { headers: ['x-webhook-token'], query: 'token' } },
  msgraph: {
    kind: 'token',
    token: { json: { items: '/value', field: '/clientState' } },
    id: { json: ['/value/0/id'], firstOfBatch: true },
    eventType: { json: ['/value/0/changeType'] },
    answer: { status: 202 },
    handshake: 'msgraph'
  },
  eventgrid: {
    kind: 'token',
    token: { headers: ['x-webhook-token'], query: 'token' },
    id: { json: ['/0/id'], firstOfBatch: true },
    eventType: { json: ['/0/eventType'] },
    handshake: 'eventgrid'
  },
  cloudevents: {
    kind: 'token',
    token: { headers: ['authorization'], prefix: 'Bearer ', query: 'access_token' },
    id: { headers: ['ce-id'], json: ['/id'], within: { headers: ['ce-source'], json: ['/source'] } },
    eventType: { headers: ['ce-type'], json: ['/type'] },
    subject: { headers: ['ce-subject'], json: ['/subject'] },
    handshake: 'cloudevents-options'
  }
}

export const presets: ReadonlyMap<string, PresetDefinition> = new Map(Object.entries(table))

/** Schemes that are left out on purpose, and why. */
export const refusedPresets: ReadonlyMap<string, string> = new Map([
  ['hubspot-v1', 'is a plain hash of the secret, open to length extension and without a timestamp; use hubspot (v3)'],
  ['hubspot-v2', 'is a plain hash of the secret, open to length extension and without a timestamp; use hubspot (v3)'],
  ['paypal', 'is checked with a certificate fetched from an address in the request; nothing is fetched here'],
  [
    'adyen-payments',
    'signs eight fields of each item and leaves the rest of the body open; use adyen (header signature)'
  ]
])

/** The definition behind a name, or the definition itself; undefined for a name that is not in the table. */
export function presetOf(preset: string | PresetDefinition): PresetDefinition | undefined {
  return typeof preset === 'string' ? presets.get(preset) : preset
}
