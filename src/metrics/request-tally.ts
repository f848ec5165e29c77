/**
 * What came in over HTTP to this process and how it was answered, as plain numbers. Labels come from the topology and
 * from the catalogue of problems, never from a request.
 */
import { type ProblemCode, problems } from '../errors.ts'
import type { Mode } from '../ingest/media-type.ts'
import type { Reason } from '../webhooks/signature.ts'

/** The paths, by what is done there. */
export const endpoints = ['events', 'batch', 'webhooks', 'admin', 'other'] as const
export type Endpoint = (typeof endpoints)[number]

/** The form in which events came. */
export type ReceivedMode = Exclude<Mode, 'unsupported'> | 'webhook'

/** What came of looking at one webhook request; a reason is why it was refused. */
export type WebhookResult = 'verified' | 'handshake' | 'not-a-delivery' | 'not-configured' | Reason

export interface RequestTally {
  /** Events of one request that could be read, whatever becomes of them. */
  received: (endpoint: Endpoint, mode: ReceivedMode, events: number) => void
  /** A request was answered 2xx: its events are stored. */
  accepted: (endpoint: Endpoint) => void
  /** A request was answered with a problem. `url` is the path of the route; undefined: no route took it. */
  refused: (url: string | undefined, code: ProblemCode) => void
  webhook: (source: string, result: WebhookResult) => void
  counts: () => RequestCounts
}

export interface RequestCounts {
  received: [endpoint: Endpoint, mode: ReceivedMode, count: number][]
  accepted: [endpoint: Endpoint, count: number][]
  refused: [endpoint: Endpoint, code: ProblemCode, count: number][]
  webhooks: [source: string, result: WebhookResult, count: number][]
}

const modes: Partial<Record<Endpoint, readonly ReceivedMode[]>> = {
  events: ['json', 'structured', 'batched', 'binary', 'ndjson'],
  batch: ['json', 'batched'],
  webhooks: ['webhook']
}

const reasons: Record<Reason, true> = {
  'unknown-preset': true,
  'no-usable-secret': true,
  'missing-header': true,
  'repeated-header': true,
  'header-too-long': true,
  'malformed-header': true,
  'too-many-signatures': true,
  'missing-url': true,
  'body-hash-mismatch': true,
  'malformed-body': true,
  'bad-signature': true,
  'timestamp-out-of-tolerance': true
}

/** Everything that can be foreseen begins at 0: a counter that appears with its first event hides that event from rate(). */
export function createRequestTally(sources: Iterable<string>): RequestTally {
  const publishing: Endpoint[] = ['events', 'batch', 'webhooks']
  const received = new Map(publishing.map((endpoint) => [endpoint, zeros(modes[endpoint] ?? [])]))
  const accepted = zeros(publishing)
  // Nothing that is not found, and no conflict, comes of publishing.
  const codes = (Object.keys(problems) as ProblemCode[]).filter((code) => ![404, 409].includes(problems[code].status))
  const refused = new Map(endpoints.map((name) => [name, zeros(publishing.includes(name) ? codes : [])]))
  const results = ['verified', 'handshake', 'not-a-delivery', 'not-configured', ...Object.keys(reasons)]
  const webhooks = new Map(Array.from(sources, (source) => [source, zeros(results as WebhookResult[])]))
  return {
    received: (endpoint, mode, events) => add(received.get(endpoint), mode, events),
    accepted: (endpoint) => add(accepted, endpoint, 1),
    refused: (url, code) => add(refused.get(endpointOf(url)), code, 1),
    webhook: (source, result) => add(webhooks.get(source), result, 1),
    counts: () => ({
      received: rows(received),
      accepted: [...accepted],
      refused: rows(refused),
      webhooks: rows(webhooks)
    })
  }
}

function endpointOf(url: string | undefined): Endpoint {
  if (url === '/events') return 'events'
  if (url === '/events/batch') return 'batch'
  if (url?.startsWith('/webhooks/')) return 'webhooks'
  return url?.startsWith('/admin/') ? 'admin' : 'other'
}

function zeros<Name extends string>(names: readonly Name[]): Map<Name, number> {
  return new Map(names.map((name) => [name, 0]))
}

function add<Name extends string>(counts: Map<Name, number> | undefined, name: Name, more: number): void {
  counts?.set(name, (counts.get(name) ?? 0) + more)
}

function rows<A, B>(counts: Map<A, Map<B, number>>): [A, B, number][] {
  return Array.from(counts, ([a, inner]) => Array.from(inner, ([b, count]): [A, B, number] => [a, b, count])).flat()
}
