/**
 * Publishes the lines of a body while it arrives: any number of them, in memory that does not grow.
 *
 * Lines are gathered into chunks. While one chunk is being stored the next is decoded, and when that is full too, reading
 * waits, and with it the client's socket. A chunk is stored only after the one before it, so what is stored when something
 * fails is the beginning of the body; only a chunk for several streams can be stored in part.
 */
import { ProblemError, type Progress } from './errors.ts'
import { createLineSplitter, type Line } from './ingest/ndjson.ts'
import { weaker } from './receipts.ts'
import type { Publication, PublicationResult } from './streams/publisher.ts'
import type { Topology } from './topology.ts'
import type { DurabilityLevel } from './topology-options.ts'

export interface LinesReceipt {
  accepted: number
  duplicates: number
  durability: DurabilityLevel
}

export interface LinePublisherOptions {
  topology: Topology
  /** Events that may wait for Redis in this process. */
  queueLimit: number
  maxLineBytes: number
}

/** Throws ProblemError with the progress so far for a line, a chunk or a stream that fails. */
export type PublishLines = (
  body: AsyncIterable<Buffer>,
  admit: (line: Buffer) => Publication,
  publish: (publications: readonly Publication[]) => Promise<PublicationResult[]>
) => Promise<LinesReceipt>

/** A chunk is worth a round trip at this size; a larger one would only wait longer for Redis. */
const CHUNK_EVENTS = 500
const CHUNK_BYTES = 262_144

export function createLinePublisher({ topology, queueLimit, maxLineBytes }: LinePublisherOptions): PublishLines {
  const hardLimits = Array.from(topology.streams.values(), ({ hardLimit }) => hardLimit)
  // One stream may take a quarter of the queue; bodies leave half of that to single requests.
  const share = Math.max(1, Math.floor(queueLimit / 8))
  const chunkEvents = Math.min(CHUNK_EVENTS, share, ...hardLimits)
  const inTurn = createTurns(Math.max(1, Math.floor(share / chunkEvents)))

  return async (body, admit, publish) => {
    const splitter = createLineSplitter({ maxLineBytes })
    const stored: LinesReceipt = { accepted: 0, duplicates: 0, durability: 'replicated' }
    let chunk = emptyChunk()
    let nextLine = 1
    let storing: Promise<void> = Promise.resolve()

    const store = async ({ publications, lines }: Chunk) =>
      count(stored, await inTurn(() => publish(publications)), lines)
    const handOver = async () => {
      await storing
      if (chunk.lines.length === 0) return
      storing = store(chunk)
      // It is awaited with the next chunk; until then nobody else would see it fail.
      storing.catch(() => undefined)
      chunk = emptyChunk()
    }
    const take = async (lines: Line[]) => {
      for (const { number, body } of lines) {
        nextLine = number
        chunk.publications.push(admit(body))
        chunk.lines.push(number)
        chunk.bytes += body.length
        nextLine = number + 1
        if (chunk.lines.length >= chunkEvents || chunk.bytes >= CHUNK_BYTES) await handOver()
      }
      const tooLong = splitter.tooLongAt()
      if (tooLong === undefined) return
      nextLine = tooLong
      throw new ProblemError('body-too-large', { detail: `Line ${tooLong} is longer than ${maxLineBytes} bytes.` })
    }
    try {
      for await (const bytes of body) await take(splitter.push(bytes))
      await take(splitter.flush())
      await handOver()
      await storing
    } catch (error) {
      if (!(error instanceof ProblemError) || error.details.progress !== undefined) throw error
      // The lines before the one that is wrong are stored.
      await handOver()
      await storing
      throw new ProblemError(error.problem, { ...error.details, progress: progressOf(stored, nextLine) })
    }
    return stored.accepted === 0 ? { ...stored, durability: 'memory' } : stored
  }
}

/** Adds what became of a chunk to what is stored; throws ProblemError if any of it was refused. */
function count(stored: LinesReceipt, results: readonly PublicationResult[], lines: readonly number[]): void {
  for (const result of results) {
    if (!result.stored) continue
    stored.accepted += 1
    if (result.duplicate) stored.duplicates += 1
    stored.durability = weaker(stored.durability, result.durability)
  }
  const refused = results.findIndex((result) => !result.stored)
  const failed = results[refused]
  if (failed?.stored === false)
    throw new ProblemError(failed.refusal.code, { progress: progressOf(stored, lines[refused] as number) })
}

interface Chunk {
  publications: Publication[]
  /** The line of each. */
  lines: number[]
  bytes: number
}

function emptyChunk(): Chunk {
  return { publications: [], lines: [], bytes: 0 }
}

function progressOf({ accepted, duplicates }: LinesReceipt, line: number): Progress {
  return { accepted, duplicates, line }
}

/** Lets so many run at once; the others wait, first come first served. */
function createTurns(atOnce: number) {
  let free = atOnce
  const waiting: (() => void)[] = []
  return async <T>(run: () => Promise<T>): Promise<T> => {
    if (free > 0) free -= 1
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await run()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free += 1
      else next()
    }
  }
}
