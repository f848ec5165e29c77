/**
 * From a publish request to publications: decoded, checked against the topology and the caller's scopes, completed.
 * Everything that can be refused without asking Redis is refused here, for all events of the request at once.
 */
import type { IncomingMessage } from 'node:http'
import { type ProblemCode, ProblemError } from './errors.ts'
import type { Catalog } from './ingest/catalog.ts'
import { decodeEvents } from './ingest/cloudevents.ts'
import { completeEvent, type Defaults, repeatedIds } from './ingest/completion.ts'
import { fingerprint, parseIdempotencyKey, seenDigest } from './ingest/dedupe.ts'
import type { Draft } from './ingest/draft.ts'
import { type Fault, maxFaults } from './ingest/faults.ts'
import { type Mode, modeOf } from './ingest/media-type.ts'
import type { traceContextFrom } from './ingest/trace-context.ts'
import type { RequestTally } from './metrics/request-tally.ts'
import type { ApiKey } from './plugins/scopes.ts'
import { physicalStreamOf } from './streams/partitions.ts'
import type { Publication } from './streams/publisher.ts'
import type { StreamDefinition } from './topology.ts'

export interface Admitted {
  /** One event by itself, not in an array. */
  single: boolean
  publications: Publication[]
}

/** Both throw ProblemError for everything that is refused. */
export interface Admission {
  /** `form: 'batch'` takes arrays only. An NDJSON body gets here only if it is empty: it holds no events. */
  body: (request: IncomingMessage, body: Buffer | undefined, caller: ApiKey, form: 'any' | 'batch') => Admitted
  /** For the lines of one NDJSON request, which are admitted one by one. */
  lines: (request: IncomingMessage, caller: ApiKey) => (line: Buffer) => Publication
}

const mediaTypes = {
  any: 'application/json, application/x-ndjson, application/cloudevents+json, application/cloudevents-batch+json',
  batch: 'application/json, application/cloudevents-batch+json'
}
const nothing = Buffer.alloc(0)

export interface AdmissionOptions {
  catalog: Catalog
  maxEvents: number
  tally: Pick<RequestTally, 'received'>
  /** The trace of a request, for events without their own. Absent where a span is made for each request and gives them its. */
  traceOf?: typeof traceContextFrom
}

export function createAdmission({ catalog, maxEvents, tally, traceOf }: AdmissionOptions): Admission {
  const defaultsOf = ({ headers }: IncomingMessage, { name }: ApiKey): CallerDefaults => {
    return { caller: name, source: `/keys/${name}`, now: timestamp(), trace: traceOf?.(headers) }
  }
  const body: Admission['body'] = (request, body, caller, form) => {
    const { headers } = request
    const mode = modeOf(headers['content-type'], headers)
    refuseMedia(mode, form)
    if (mode === 'ndjson') return { single: false, publications: [] }
    const sent = mode === 'binary' ? request.headersDistinct : headers
    const decoded = decodeEvents(mode, sent, body ?? nothing, maxEvents)
    if (!decoded.ok) throw faulty(decoded.faults, decoded.more)
    const { drafts, single } = decoded
    tally.received(form === 'batch' ? 'batch' : 'events', mode as Exclude<Mode, 'unsupported'>, drafts.length)
    if (single && form === 'batch')
      throw faulty([{ pointer: '', detail: 'a batch is a JSON array of events', code: 'invalid-event' }])
    const key = parseIdempotencyKey(headers['idempotency-key'])
    if (!key.ok) throw faulty(key.faults)
    const checked = catalog.checkAll(drafts)
    if (!checked.ok) throw faulty(checked.faults, checked.more)
    refuseStreams(checked.streams, drafts, caller)
    const repeated = repeatedIds(drafts)
    if (repeated.length > 0) throw faulty(repeated)
    return { single, publications: publicationsFrom(drafts, checked.streams, defaultsOf(request, caller), key.key) }
  }
  const lines: Admission['lines'] = (request, caller) => {
    const defaults = defaultsOf(request, caller)
    return (line) => {
      const decoded = decodeEvents('ndjson', {}, line)
      if (!decoded.ok) throw faulty(decoded.faults, decoded.more)
      tally.received('events', 'ndjson', 1)
      const checked = catalog.checkAll(decoded.drafts)
      if (!checked.ok) throw faulty(checked.faults, checked.more)
      refuseStreams(checked.streams, decoded.drafts, caller)
      defaults.now = timestamp()
      return publicationsFrom(decoded.drafts, checked.streams, defaults, undefined)[0] as Publication
    }
  }
  return { body, lines }
}

interface CallerDefaults extends Defaults {
  caller: string
}

function refuseMedia(mode: Mode, form: 'any' | 'batch'): void {
  if (mode !== 'unsupported' && (form === 'any' || mode === 'json' || mode === 'batched')) return
  const detail = `This path takes ${mediaTypes[form]}.`
  throw new ProblemError('unsupported-media-type', { detail, headers: { 'accept-post': mediaTypes[form] } })
}

/** Every event for a stream that is not the caller's is listed. */
function refuseStreams(streams: readonly StreamDefinition[], drafts: readonly Draft[], caller: ApiKey): void {
  const first = streams[0]
  if (first === undefined) return
  const mayAny = streams.every((stream) => stream === first)
  if (mayAny && caller.may('publish', first.name)) return
  const refused = drafts.filter((_, index) => !caller.may('publish', streams[index]?.name))
  if (refused.length === 0) return
  const nameOf = ({ index }: Draft) => streams[index]?.name
  throw new ProblemError('forbidden', {
    detail: `The key '${caller.name}' lacks the scope publish for the stream '${nameOf(refused[0] as Draft)}'.`,
    errors: refused
      .slice(0, maxFaults)
      .map((draft) => ({ pointer: `${draft.pointer}/type`, detail: `needs publish:${nameOf(draft)}` })),
    more: Math.max(0, refused.length - maxFaults)
  })
}

/**
 * An event is remembered if the client can send it again: under its Idempotency-Key or its own id. In a request over
 * several streams or partitions, of which some may refuse, ids that were filled in count too: the answer names them.
 */
function publicationsFrom(
  drafts: readonly Draft[],
  streams: readonly StreamDefinition[],
  defaults: CallerDefaults,
  key: string | undefined
): Publication[] {
  const { caller } = defaults
  const isSplit =
    drafts.length > 1 && streams.some((stream) => stream !== streams[0] || stream.partitions !== undefined)
  const publications = drafts.map((draft, index) => {
    const event = completeEvent(draft, defaults)
    const stream = streams[index] as StreamDefinition
    if (key !== undefined) {
      const digest = seenDigest('key', caller, key, index)
      // A repetition is answered with the id that the first request got, so that one is made from the key.
      if (draft.id === undefined) event.id = digest
      return { event, stream, digest, fingerprint: fingerprint(draft) }
    }
    if (draft.id === undefined && !isSplit) return { event, stream }
    return { event, stream, digest: seenDigest('event', caller, event.source, event.id) }
  })
  refuseWithoutKey(publications, drafts)
  return publications
}

/** Every event that lacks what its stream is partitioned by is listed. */
function refuseWithoutKey(publications: readonly Publication[], drafts: readonly Draft[]): void {
  const refused = drafts.filter((_, index) => {
    const { stream, event } = publications[index] as Publication
    return physicalStreamOf(stream, event) === undefined
  })
  if (refused.length === 0) return
  const detail = "has no partition key: the event's subject, unless the topology says otherwise"
  const faults = refused
    .slice(0, maxFaults)
    .map(({ pointer }): Fault => ({ pointer, detail, code: 'missing-partition-key' }))
  throw faulty(faults, refused.length - faults.length)
}

let stampedAt = 0
let stamp = ''

/** Now in RFC 3339, spelled once per millisecond. */
function timestamp(): string {
  const now = Date.now()
  if (now !== stampedAt) {
    stampedAt = now
    stamp = new Date(now).toISOString()
  }
  return stamp
}

function faulty(faults: readonly Fault[], more = 0): ProblemError {
  const first = faults[0] as Fault
  const code: ProblemCode = first.code
  return new ProblemError(code, {
    detail: `${first.pointer === '' ? '' : `${first.pointer} `}${first.detail}`,
    errors: faults,
    more
  })
}
