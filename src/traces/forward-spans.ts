/**
 * CLIENT spans of `forward`, children of the handler's span. Where no span is active there is no SDK, and nothing to do.
 */
import { context, propagation, SpanKind, trace } from '@opentelemetry/api'
import { errorTypeOf, markFailed } from './tracer.ts'

/**
 * Sends a POST inside a span. `send` gets the headers that tell the endpoint about it; a status of 400 and above and a
 * rejection mark it as failed.
 */
export async function tracedPost<T extends { status: number }>(
  url: URL,
  send: (headers: Record<string, string>) => Promise<T>
): Promise<T> {
  const active = trace.getActiveSpan()
  if (active === undefined) return send({})
  const span = trace.getTracer('headgate').startSpan('POST', {
    kind: SpanKind.CLIENT,
    attributes: {
      'http.request.method': 'POST',
      'url.full': `${url.origin}${url.pathname}`,
      'server.address': url.hostname,
      'server.port': Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
    }
  })
  const inside = trace.setSpan(context.active(), span)
  const headers: Record<string, string> = {}
  propagation.inject(inside, headers)
  try {
    const answer = await context.with(inside, send, undefined, headers)
    span.setAttribute('http.response.status_code', answer.status)
    if (answer.status >= 400) markFailed(span, String(answer.status))
    return answer
  } catch (error) {
    markFailed(span, errorTypeOf(error))
    throw error
  } finally {
    span.end()
  }
}
