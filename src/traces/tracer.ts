/**
 * Traces by the OpenTelemetry API alone: the SDK, which samples and exports, is the operator's, and set up before this
 * process loads anything (`node --import ./otel.mjs src/server.ts`). Without one there is no tracer, nothing here is
 * wired in, and no request or event pays for it.
 *
 *   POST /events                 SERVER, unless the operator's HTTP instrumentation has one (plugins/request-spans.ts)
 *     send <stream>              PRODUCER, one per request and stream; what is stored with its events (sent-spans.ts)
 *       process <stream>         CONSUMER, one per handler call (handler-spans.ts)
 *         send <stream>          what the handler publishes
 *         POST                   CLIENT, one per forwarded request (forward-spans.ts)
 *
 * No attribute holds data of an event, a header, a query or the message of an error.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  ProxyTracer,
  type ProxyTracerProvider,
  type Span,
  SpanStatusCode,
  type Tracer,
  type TracerProvider,
  trace
} from '@opentelemetry/api'

/** How long the end of the process waits for a collector that does not answer. */
const FLUSH_MS = 2_000

/** The tracer of the SDK that was set up before; undefined without one. */
export function openTracer(): Tracer | undefined {
  const tracer = trace.getTracer('headgate')
  return tracer instanceof ProxyTracer ? undefined : tracer
}

/** Exports what has ended, where the SDK can: it may not learn of the end of the process itself. Never rejects. */
export async function flushTraces(): Promise<void> {
  // The SDK brings its own copy of the API, so classes cannot be compared.
  const provider: TracerProvider & Partial<ProxyTracerProvider> = trace.getTracerProvider()
  const sdk: TracerProvider & { forceFlush?: () => Promise<void> } = provider.getDelegate?.() ?? provider
  const flushed = sdk.forceFlush?.().catch(() => undefined)
  await Promise.race([flushed, sleep(FLUSH_MS, undefined, { ref: false })])
}

/** Marks a span as failed. `type` is one of few: a problem code, the name of an error. */
export function markFailed(span: Span, type: string): void {
  span.setAttribute('error.type', type)
  span.setStatus({ code: SpanStatusCode.ERROR })
}

/** An error as `error.type`: the system's code or its name. Its message may quote data and stays out of traces. */
export function errorTypeOf(error: unknown): string {
  if (!(error instanceof Error)) return '_OTHER'
  const { code } = error as NodeJS.ErrnoException
  if (typeof code === 'string' && /^E[A-Z0-9_]{1,40}$/.test(code)) return code
  return /^[\w.$-]{1,80}$/.test(error.name) ? error.name : '_OTHER'
}
