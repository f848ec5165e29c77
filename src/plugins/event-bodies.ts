/**
 * How the bodies of publish requests are read: as a Buffer or, for NDJSON, as a stream. Both may come in gzip.
 *
 * A stream that is given here ends by itself when the client stops sending, sends too slowly or sends what cannot be
 * decoded; it never destroys the request, so that every failure can still be answered.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable, Transform } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { FastifyInstance, FastifyRequest, RequestPayload } from 'fastify'
import { ProblemError } from '../errors.ts'
import { modeOf } from '../ingest/media-type.ts'
import { takesItsTime } from './slow-requests.ts'

export interface EventBodiesOptions {
  /** How long a stream may bring nothing. */
  idleMs: number
}

/** Decoded bytes per encoded byte of a stream; JSON of real events compresses to a tenth at best. */
const MAX_RATIO = 100
/** A stream's first bytes may be anything: short bodies compress to next to nothing. */
const RATIO_FREE_BYTES = 65_536
/**
 * After a failure was answered the rest of the body is read and thrown away, or a client that only writes would never see
 * the answer; after this long its connection is cut.
 */
const LINGER_MS = 5_000

/** Sets up the scope of `app`: its parsers and the decoding in front of them. */
export function readEventBodies(app: FastifyInstance, { idleMs }: EventBodiesOptions): void {
  const limit = app.initialConfig.bodyLimit ?? Number.POSITIVE_INFINITY
  const open = new Set<Transform>()

  // A body of any size would outlast the time there is to stop.
  app.addHook('preClose', async () => {
    for (const stream of open) stream.destroy(new ProblemError('draining'))
  })
  app.addHook('preParsing', (request, _reply, payload, done) => {
    const coding = request.headers['content-encoding']
    if (coding === undefined) return done(null, payload)
    try {
      done(null, decoded(request, payload, coding.toLowerCase(), limit))
    } catch (error) {
      done(error as Error, undefined)
    }
  })
  // Fastify remembers which parser belongs to a type it was told of, and searches for '*' each time.
  app.addContentTypeParser(['application/json', '*'], { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.addContentTypeParser('application/x-ndjson', async (request: FastifyRequest, payload: RequestPayload) =>
    isNdjson(request) ? keptIn(open, unhurried(request.raw, payload, idleMs)) : whole(payload, limit)
  )
}

function keptIn(open: Set<Transform>, stream: Transform): Transform {
  open.add(stream)
  return stream.on('close', () => open.delete(stream))
}

function isNdjson({ headers }: FastifyRequest): boolean {
  return modeOf(headers['content-type'], headers) === 'ndjson'
}

/** Throws ProblemError for a coding that is not understood. */
function decoded(request: FastifyRequest, payload: RequestPayload, coding: string, limit: number): RequestPayload {
  if (coding === 'identity') return payload
  if (coding !== 'gzip' && coding !== 'x-gzip') {
    throw new ProblemError('unsupported-encoding', {
      detail: 'Send the body as it is, or in gzip.',
      headers: { 'accept-encoding': 'gzip, identity' }
    })
  }
  return gunzipped(request.raw, isNdjson(request) ? undefined : limit)
}

/** The decoded body: at most `limit` bytes of it, or as much as its ratio allows. */
function gunzipped(raw: IncomingMessage, limit: number | undefined): RequestPayload {
  const gunzip = createGunzip()
  let bytes = 0
  const checked = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      const allowed = limit ?? Math.max(RATIO_FREE_BYTES, gunzip.bytesWritten * MAX_RATIO)
      if (bytes <= allowed) return done(null, chunk)
      done(new ProblemError('body-too-large', { detail: 'The body is too large once it is decoded.' }))
    }
  })
  const corrupt = 'The body is not gzip, or ends too early.'
  gunzip.on('error', () => checked.destroy(new ProblemError('malformed-encoding', { detail: corrupt })))
  feed(raw, gunzip, checked)
  gunzip.pipe(checked)
  checked.on('close', () => gunzip.destroy())
  // Fastify compares it with Content-Length.
  return Object.defineProperty(checked, 'receivedEncodedLength', { get: () => gunzip.bytesWritten })
}

/** A stream that fails once nothing has come for `idleMs`; until its end the request may take as long as it likes. */
function unhurried(raw: IncomingMessage, payload: Readable, idleMs: number): Transform {
  const checked = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      timer.refresh()
      done(null, chunk)
    }
  })
  const late = 'No more of the body came for too long.'
  const timer = setTimeout(() => {
    checked.destroy(new ProblemError('request-timeout', { detail: late, headers: { connection: 'close' } }))
  }, idleMs)
  const inTime = takesItsTime(raw.socket)
  if (payload === raw) feed(raw, checked, checked)
  else payload.on('error', (error) => checked.destroy(error)).pipe(checked)
  checked.on('error', () => undefined)
  checked.on('close', () => {
    clearTimeout(timer)
    inTime()
    if (payload !== raw) payload.destroy()
  })
  return checked
}

/** Pipes the request into `first` until `last` closes; what comes after that is thrown away. */
function feed(raw: IncomingMessage, first: Transform | ReturnType<typeof createGunzip>, last: Transform): void {
  const cut = () => {
    if (raw.readableEnded) return
    last.destroy(new ProblemError('malformed-request', { detail: 'The connection ended before the body did.' }))
  }
  raw.on('close', cut)
  // Whoever reads `last` may have stopped listening when it fails.
  last.on('error', () => undefined)
  raw.pipe(first)
  last.on('close', () => {
    raw.off('close', cut)
    raw.unpipe(first)
    if (raw.readableEnded || raw.destroyed) return
    const linger = setTimeout(() => raw.socket.destroy(), LINGER_MS)
    // Once it is answered, a request no longer hears of the end of its connection.
    raw.socket.once('close', () => clearTimeout(linger))
    raw.once('end', () => clearTimeout(linger))
    raw.resume()
  })
}

async function whole(payload: Readable, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of payload.iterator({ destroyOnReturn: false })) {
    bytes += chunk.length
    if (bytes > limit) throw new ProblemError('body-too-large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/**
 * A client that wants its connection closed may still be sending when it is answered. Node would close at once, and the
 * rest of the body would meet a closed connection and take the answer with it: this closes when all has been read.
 */
export function closeAfterBody({ raw }: FastifyRequest, response: ServerResponse): void {
  if (response.shouldKeepAlive) return
  response.shouldKeepAlive = true
  response.once('finish', () => {
    if (raw.readableEnded) raw.socket.end()
    else raw.once('end', () => raw.socket.end())
  })
}

/** The lines of an NDJSON request; undefined for every other one. */
export function lineStream(body: unknown): Readable | undefined {
  return body instanceof Readable ? body : undefined
}
