/**
 * `forward`: a handler that POSTs each event to an HTTP endpoint, as a CloudEvent (structured mode) signed as Standard
 * Webhooks say: `webhook-id` is the event's id, the same on every try, so the endpoint can recognise what it had before.
 *
 *   2xx                                          handled
 *   429, 503, no connection, connection broken   `unavailable`: no attempt is charged, the group pauses for Retry-After
 *   other 4xx except 408 and 425, and 3xx        `reject`: a dead letter at once; redirects are never followed
 *   408, 425, other 5xx                          an ordinary failure
 *   no answer within timeoutMs                   `unavailable` while the endpoint answers nothing at all, a failure of the
 *                                                event when it answers others meanwhile
 *
 * So an endpoint that is away or hangs for an hour makes no dead letter, and one event it chokes on does.
 */
import { createHash } from 'node:crypto'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { eventText } from '../entry-text.ts'
import type { ReceivedEvent } from '../streams/entry.ts'
import type { Handler } from '../topology-options.ts'
import { tracedPost } from '../traces/forward-spans.ts'
import { signWebhook } from '../webhooks/sign.ts'
import { checkSecret } from '../webhooks/signature.ts'
import { reject, unavailable } from './outcomes.ts'

export interface ForwardOptions {
  /** http: or https: URL; nothing in it is secret to the logs. */
  url: string
  /** `whsec_` and base64, or base64 alone, as in Standard Webhooks. */
  secret: string
  /** Deliveries per second, all processes together; becomes the group's `ratePerSecond`. */
  ratePerSecond?: number
  /** How long one delivery may take, up to the answer's headers. */
  timeoutMs?: number
}

const SCHEME = 'standard-webhooks'
const CONTENT_TYPE = 'application/cloudevents+json'
const DEFAULT_TIMEOUT_MS = 15_000
/** A longer Retry-After is asked again after this: one bad header must not silence a group for a year. */
const MAX_RETRY_AFTER_MS = 3_600_000
/** An answer's body is not read; up to this much is let through so that its connection can be used again. */
const MAX_ANSWER_BYTES = 65_536

/** Throws at once when the URL or the secret cannot be used. Its connections are kept alive, one per running delivery. */
export function forward(options: ForwardOptions): Handler {
  const { secret, ratePerSecond, timeoutMs = DEFAULT_TIMEOUT_MS } = options
  const endpoint = new Endpoint(options.url)
  const faults = checkSecret(SCHEME, secret)
  if (faults.length > 0) throw new TypeError(`forward to ${endpoint.name}: ${faults.join('; ')}`)
  if (!(timeoutMs > 0)) throw new TypeError(`forward to ${endpoint.name}: timeoutMs is a number above 0`)
  const handler: Handler = async (event, { signal }) => {
    const body = Buffer.from(structuredText(event))
    const id = webhookId(event.id)
    const signed = signWebhook(SCHEME, { secret, body, now: Date.now(), id, contentType: CONTENT_TYPE })
    const answer = await endpoint.post(body, signed, { timeoutMs, signal })
    judgeAnswer(endpoint.name, answer)
  }
  return Object.assign(handler, { ratePerSecond })
}

function structuredText(event: ReceivedEvent): string {
  const { id, source, type, subject, time, datacontenttype, dataschema, extensions, dataText } = event
  const binary = dataText === undefined && event.data instanceof Buffer ? event.data.toString('base64') : undefined
  const attributes = { id, source, type, subject, time, datacontenttype, dataschema, extensions }
  return eventText({ ...attributes, data: dataText, data_base64: binary })
}

/** The event's id, or a digest of one that a header cannot carry or that would blur what is signed. */
function webhookId(id: string): string {
  if (/^[\x21-\x2d\x2f-\x7e]{1,200}$/.test(id)) return id
  return `sha256-${createHash('sha256').update(id).digest('base64url')}`
}

class NoAnswer extends Error {
  override name = 'NoAnswer'
}

interface Answer {
  status: number
  retryAfter?: string
}

function judgeAnswer(name: string, { status, retryAfter }: Answer): void {
  if (status >= 200 && status < 300) return
  const why = `${name} answered ${status}`
  if (status === 429 || status === 503) throw unavailable(why, { retryAfterMs: retryAfterMs(retryAfter, Date.now()) })
  if (status >= 300 && status < 500 && status !== 408 && status !== 425) throw reject(why)
  throw new Error(why)
}

/** Retry-After in milliseconds from now: seconds or an HTTP date; undefined when it says nothing usable. */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? ''
  const ms = /^\d+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - now
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), MAX_RETRY_AFTER_MS)
}

/** One URL and the connections to it. */
class Endpoint {
  /** The URL without credentials and query, for messages. */
  readonly name: string
  readonly #url: URL
  readonly #agent: HttpAgent | HttpsAgent
  #answers = 0

  constructor(text: string) {
    const url = URL.parse(text)
    if (url === null || !/^https?:$/.test(url.protocol)) throw new TypeError(`forward: '${text}' is not an http(s) URL`)
    this.name = `${url.origin}${url.pathname}`
    this.#url = url
    const options = { keepAlive: true, maxFreeSockets: 64 }
    this.#agent = url.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options)
  }

  /** Rejects with what the handler should throw when there is no answer. */
  async post(
    body: Buffer,
    headers: Record<string, string>,
    limits: { timeoutMs: number; signal: AbortSignal }
  ): Promise<Answer> {
    const answersBefore = this.#answers
    try {
      const answer = await tracedPost(this.#url, (trace) => this.#request(body, { ...headers, ...trace }, limits))
      this.#answers += 1
      return answer
    } catch (cause) {
      if (limits.signal.aborted) throw limits.signal.reason
      const error = cause as Error
      if (!(error instanceof NoAnswer)) throw unavailable(`${this.name}: ${error.message}`, { cause })
      const why = `${this.name} did not answer within ${limits.timeoutMs} ms`
      throw this.#answers === answersBefore ? unavailable(why, { cause }) : new Error(why, { cause })
    }
  }

  /** One request; a second one when a kept connection turns out to have been closed in the meantime. */
  #request(
    body: Buffer,
    headers: Record<string, string>,
    limits: { timeoutMs: number; signal: AbortSignal },
    again = true
  ): Promise<Answer> {
    const send = this.#url.protocol === 'https:' ? httpsRequest : httpRequest
    const { promise, resolve, reject: fail } = Promise.withResolvers<Answer>()
    const request = send(this.#url, {
      method: 'POST',
      agent: this.#agent,
      signal: limits.signal,
      headers: { ...headers, 'content-length': body.length, 'user-agent': 'headgate' }
    })
    const timer = setTimeout(() => request.destroy(new NoAnswer('timeout')), limits.timeoutMs)
    request.on('response', (response) => {
      resolve({ status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'] })
      discard(response)
    })
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (again && request.reusedSocket && error.code === 'ECONNRESET')
        resolve(this.#request(body, headers, limits, false))
      else fail(error)
    })
    request.on('close', () => {
      clearTimeout(timer)
      fail(new Error('the connection was closed without an answer'))
    })
    request.end(body)
    return promise
  }
}

/** Lets the body pass so that the connection can be used again, unless it is long. */
function discard(response: IncomingMessage): void {
  let bytes = 0
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > MAX_ANSWER_BYTES) response.destroy()
  })
  response.on('error', () => undefined)
}
