/**
 * Splits a stream of bytes into lines, for NDJSON: memory stays within one line, whatever the size of the body.
 */

export interface Line {
  /** From 1, empty lines counted: the number an editor shows. */
  number: number
  /** Without its line feed, nor a carriage return before it. Shares memory with the chunk it came in. */
  body: Buffer
}

export interface LineSplitter {
  /** The lines that end in this chunk, in order; empty ones are left out. */
  push: (chunk: Buffer) => Line[]
  /** The last line, when the stream ends without a line feed. */
  flush: () => Line[]
  /**
   * The number of the line that is longer than allowed, once it was met: from there on there are no more lines.
   * Known as soon as the limit is passed, not when the line ends.
   */
  tooLongAt: () => number | undefined
}

const lineFeed = 0x0a
const carriageReturn = 0x0d
const smallestHold = 4096

/** `maxLineBytes` counts neither the line feed nor the carriage return before it. */
export function createLineSplitter({ maxLineBytes }: { maxLineBytes: number }): LineSplitter {
  const begun = createBegunLine(maxLineBytes)
  let number = 1
  let tooLong: number | undefined

  const endLine = (rest: Buffer, lines: Line[]) => {
    const bytes = begun.length() === 0 ? rest : begun.complete(rest)
    const body = bytes.at(-1) === carriageReturn ? bytes.subarray(0, -1) : bytes
    if (body.length > maxLineBytes) tooLong = number
    else if (body.length > 0) lines.push({ number, body })
    number += 1
  }
  return {
    push(chunk) {
      const lines: Line[] = []
      let from = 0
      while (tooLong === undefined) {
        const lineEnd = chunk.indexOf(lineFeed, from)
        const end = lineEnd < 0 ? chunk.length : lineEnd
        // One byte more than allowed may be the carriage return.
        if (begun.length() + end - from > maxLineBytes + 1) tooLong = number
        else if (lineEnd < 0) {
          begun.add(chunk.subarray(from))
          break
        } else endLine(chunk.subarray(from, end), lines)
        from = end + 1
      }
      return lines
    },
    flush() {
      const lines: Line[] = []
      if (tooLong === undefined) endLine(Buffer.alloc(0), lines)
      return lines
    },
    tooLongAt: () => tooLong
  }
}

/** The part of a line that has come so far, copied together: a list of chunks would pin a read buffer for each. */
function createBegunLine(maxLineBytes: number) {
  let held = Buffer.alloc(0)
  let length = 0
  const add = (part: Buffer) => {
    const needed = length + part.length
    if (needed > held.length) {
      const larger = Buffer.allocUnsafe(Math.max(smallestHold, needed, Math.min(held.length * 2, maxLineBytes + 1)))
      held.copy(larger, 0, 0, length)
      held = larger
    }
    part.copy(held, length)
    length = needed
  }
  return {
    length: () => length,
    add,
    /** Adds the rest and hands the line over; the next one starts empty, in memory of its own. */
    complete(rest: Buffer): Buffer {
      add(rest)
      const line = held.subarray(0, length)
      held = Buffer.alloc(0)
      length = 0
      return line
    }
  }
}
