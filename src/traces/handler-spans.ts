/**
 * `process <stream>` spans: one per handler call. The span the event was stored by is linked, and the parent too: with a
 * parent, a sampled event is sampled all the way, and every try and every group's handling is found in one trace.
 * What the handler does runs inside it, so its own instrumentation nests.
 */
import { type Attributes, context, ROOT_CONTEXT, SpanKind, type Tracer, trace } from '@opentelemetry/api'
import type { ReceivedEvent } from '../streams/entry.ts'
import type { Handler, HandlerContext } from '../topology-options.ts'
import { eventAttributes } from './sent-spans.ts'
import { spanContextFrom } from './span-context.ts'
import { errorTypeOf, markFailed } from './tracer.ts'

/**
 * The span ends when the handler does, or when nobody listens to it any more: at its timeout, at the end of the grace, or
 * when the entry was taken over; `error.type` says which.
 */
export function tracedHandler(tracer: Tracer, handler: Handler, partition?: number): Handler {
  return async (event, handed) => {
    const created = spanContextFrom(event.extensions)
    const parent = created === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, created)
    const span = tracer.startSpan(
      `process ${handed.stream}`,
      {
        kind: SpanKind.CONSUMER,
        attributes: attributesOf(event, handed, partition),
        links: created === undefined ? [] : [{ context: created }]
      },
      parent
    )
    const { signal } = handed
    let open = true
    const end = (failure?: string) => {
      if (!open) return
      open = false
      signal.removeEventListener('abort', abandoned)
      if (failure !== undefined) markFailed(span, failure)
      span.end()
    }
    const abandoned = () => end(errorTypeOf(signal.reason))
    signal.addEventListener('abort', abandoned)
    try {
      await context.with(trace.setSpan(parent, span), handler, undefined, event, handed)
      end()
    } catch (error) {
      end(errorTypeOf(error))
      throw error
    }
  }
}

function attributesOf(
  event: ReceivedEvent,
  { stream, group, entryId, attempt }: HandlerContext,
  partition: number | undefined
): Attributes {
  const attributes: Attributes = {
    'messaging.system': 'redis',
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': stream,
    'messaging.consumer.group.name': group,
    'messaging.message.id': entryId,
    ...eventAttributes(event),
    'headgate.attempt': attempt
  }
  if (partition !== undefined) attributes['messaging.destination.partition.id'] = String(partition)
  return attributes
}
