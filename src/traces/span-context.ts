/**
 * A span's context as the attributes an event keeps (CloudEvents distributed tracing extension), and back.
 */
import { createTraceState, isSpanContextValid, type SpanContext } from '@opentelemetry/api'
import { type TraceContext, traceContextFrom } from '../ingest/trace-context.ts'

/** Undefined for a span that is none: tracing may be suppressed. */
export function traceContextOf(context: SpanContext): TraceContext | undefined {
  if (!isSpanContextValid(context)) return undefined
  const { traceId, spanId, traceFlags, traceState } = context
  const flags = traceFlags.toString(16).padStart(2, '0')
  return { traceparent: `00-${traceId}-${spanId}-${flags}`, tracestate: traceState?.serialize() || undefined }
}

/** The context in an event's extensions; undefined when there is none or it breaks a rule. */
export function spanContextFrom(extensions: Readonly<Record<string, string>> = {}): SpanContext | undefined {
  const trace = traceContextFrom(extensions)
  if (trace === undefined) return undefined
  const [, traceId = '', spanId = '', flags = '00'] = trace.traceparent.split('-')
  return {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
    traceState: trace.tracestate === undefined ? undefined : createTraceState(trace.tracestate)
  }
}
