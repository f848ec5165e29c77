/**
 * `send <stream>` spans: one for all events of a publication that go to one stream. Its context is stored with each of
 * them, except where an event brought its own: that one is kept, and the span is linked to it.
 */
import {
  type Attributes,
  context,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  type Tracer
} from '@opentelemetry/api'
import type { TraceContext } from '../ingest/trace-context.ts'
import type { CloudEvent } from '../streams/entry.ts'
import type { Publication, PublicationResult, Publish } from '../streams/publisher.ts'
import type { StreamDefinition } from '../topology.ts'
import { spanContextFrom, traceContextOf } from './span-context.ts'
import { errorTypeOf, markFailed } from './tracer.ts'

/** What SDKs keep of a span's links unless told otherwise. */
const MAX_LINKS = 128

interface Send {
  publications: Publication[]
  results: PublicationResult[]
  links: Map<string, SpanContext>
  span?: Span
}

export function tracedPublish(tracer: Tracer, publish: Publish): Publish {
  return async (publications) => {
    const sends = sendsOf(publications)
    for (const [stream, send] of sends) send.span = startSpan(tracer, stream, send)
    const traced = publications.map((publication) => withTrace(publication, sends.get(publication.stream)?.span))
    try {
      // Requests share a flush: what the operator's instrumentation of Redis sees of it belongs to none of them.
      const results = await context.with(ROOT_CONTEXT, publish, undefined, traced)
      results.forEach((result, i) => {
        const { stream } = publications[i] as Publication
        sends.get(stream)?.results.push(result)
      })
      for (const [stream, send] of sends) describeResults(stream, send)
      return results
    } catch (error) {
      for (const { span } of sends.values()) if (span !== undefined) markFailed(span, errorTypeOf(error))
      throw error
    } finally {
      for (const { span } of sends.values()) span?.end()
    }
  }
}

function sendsOf(publications: readonly Publication[]): Map<StreamDefinition, Send> {
  const sends = new Map<StreamDefinition, Send>()
  for (const publication of publications) {
    const { stream, event } = publication
    const send: Send = sends.get(stream) ?? { publications: [], results: [], links: new Map() }
    sends.set(stream, send)
    send.publications.push(publication)
    const own = hasTrace(event) ? spanContextFrom(event.extensions) : undefined
    if (own !== undefined && send.links.size < MAX_LINKS) send.links.set(`${own.traceId} ${own.spanId}`, own)
  }
  return sends
}

function startSpan(tracer: Tracer, stream: StreamDefinition, { publications, links }: Send): Span {
  const attributes: Attributes = {
    'messaging.system': 'redis',
    'messaging.operation.name': 'send',
    'messaging.operation.type': 'send',
    'messaging.destination.name': stream.name
  }
  const [first] = publications
  if (publications.length > 1) attributes['messaging.batch.message_count'] = publications.length
  else if (first !== undefined) Object.assign(attributes, eventAttributes(first.event))
  return tracer.startSpan(`send ${stream.name}`, {
    kind: SpanKind.PRODUCER,
    attributes,
    links: Array.from(links.values(), (own): Link => ({ context: own }))
  })
}

/** Which event it is, by the names of the conventions for CloudEvents. */
export function eventAttributes({ id, source, type }: Pick<CloudEvent, 'id' | 'source' | 'type'>): Attributes {
  return { 'cloudevents.event_id': id, 'cloudevents.event_source': source, 'cloudevents.event_type': type }
}

function withTrace(publication: Publication, span: Span | undefined): Publication {
  const { event } = publication
  const trace = span === undefined || hasTrace(event) ? undefined : traceContextOf(span.spanContext())
  if (trace === undefined) return publication
  return { ...publication, event: { ...event, extensions: withContext(event.extensions, trace) } }
}

/** The two belong together: nothing is mixed from the event's own and the span's. */
function hasTrace({ extensions }: CloudEvent): boolean {
  return extensions?.traceparent !== undefined || extensions?.tracestate !== undefined
}

function withContext(extensions: CloudEvent['extensions'], { traceparent, tracestate }: TraceContext) {
  return tracestate === undefined ? { ...extensions, traceparent } : { ...extensions, traceparent, tracestate }
}

function describeResults(stream: StreamDefinition, { span, results }: Send): void {
  if (span === undefined) return
  const refused = results.find((result) => !result.stored)
  if (refused?.stored === false) markFailed(span, refused.refusal.code)
  const duplicates = results.filter((result) => result.stored && result.duplicate).length
  if (duplicates > 0) span.setAttribute('headgate.duplicates', duplicates)
  const [only, ...others] = results
  if (only?.stored !== true || others.length > 0) return
  span.setAttribute('messaging.message.id', only.entryId)
  if (stream.partitions !== undefined)
    span.setAttribute('messaging.destination.partition.id', only.stream.slice(stream.name.length + 1))
}
