/**
 * What XREADGROUP and XREAD answer, from bytes to entries (pure): `%streams (key *rows)` or, before RESP3,
 * `*streams (*2 key *rows)`, where a row is `*2 id *fields` and every text `$length`.
 */
import { isAscii } from 'node:buffer'

/** Entries of one stream, each with its flat `[name, value, ...]` list. */
export type EntryRows = [id: string, fields: string[]][]

const MAP = 0x25
const LIST = 0x2a
const MINUS = 0x2d
const CR = 0x0d

/** Do these bytes begin such a reply? An error, nothing and whatever else is one line is none. */
export function isEntries(bytes: Buffer): boolean {
  return bytes[0] === MAP || (bytes[0] === LIST && bytes[1] !== MINUS)
}

// Names recur in every entry: recognised without making a new text of each.
const namesByLength: string[][] = []
for (const name of [
  'id',
  'source',
  'type',
  'time',
  'subject',
  'datacontenttype',
  'dataschema',
  'data',
  'data_base64'
]) {
  namesByLength[name.length] ??= []
  namesByLength[name.length]?.push(name)
}

/** A reply that arrives in parts. */
export class EntriesReply {
  readonly streams = new Map<string, EntryRows>()
  #bytes: Buffer = Buffer.alloc(0)
  #ascii = true
  #at = 0
  #parts: Buffer[] = []
  #length = 0
  /** Until so many bytes are there nothing can be made of them. */
  #needed = 1
  #streamsLeft = -1
  #isMap = false
  #rows: EntryRows = []
  #rowsLeft = 0
  /** Starts and ends of the texts of one row. */
  #spans: number[] = []

  get begun(): boolean {
    return this.#streamsLeft >= 0
  }

  /** Returns what came behind the reply once it is complete, else undefined. */
  add(bytes: Buffer): Buffer | undefined {
    this.#parts.push(bytes)
    this.#length += bytes.length
    if (this.#length < this.#needed) return undefined
    this.#bytes = this.#parts.length === 1 ? bytes : Buffer.concat(this.#parts)
    this.#ascii = isAscii(this.#bytes)
    this.#at = 0
    this.#needed = 0
    let complete = 0
    while (this.#step()) complete = this.#at
    const rest = this.#bytes.subarray(complete)
    if (this.#streamsLeft === 0 && this.#rowsLeft === 0) return rest
    this.#parts = [rest]
    this.#length = rest.length
    this.#needed = Math.max(this.#needed - complete, rest.length + 1)
    return undefined
  }

  /** Takes the next part that is there whole; false when there is none. */
  #step(): boolean {
    if (this.#rowsLeft > 0) return this.#row()
    if (this.#streamsLeft > 0) return this.#stream()
    if (this.begun) return false
    const isMap = this.#bytes[this.#at] === MAP
    const streams = this.#number()
    if (streams < 0) return false
    this.#isMap = isMap
    this.#streamsLeft = streams
    return true
  }

  #stream(): boolean {
    if (!this.#isMap && this.#number() < 0) return false
    const start = this.#text()
    if (start < 0) return false
    const key = this.#bytes.toString('utf8', start, this.#at - 2)
    const rows = this.#number()
    if (rows < 0) return false
    this.#rows = []
    this.streams.set(key, this.#rows)
    this.#rowsLeft = rows
    this.#streamsLeft -= 1
    return true
  }

  #row(): boolean {
    const begin = this.#at
    const spans = this.#spans
    if (this.#number() < 0) return false
    spans[0] = this.#text()
    spans[1] = this.#at - 2
    if (spans[0] < 0) return false
    const count = this.#number()
    if (count < 0) return false
    for (let i = 2; i < 2 + 2 * count; i += 2) {
      const start = this.#text()
      if (start < 0) return false
      spans[i] = start
      spans[i + 1] = this.#at - 2
    }
    this.#rows.push(this.#ascii ? this.#plainRow(begin, count) : this.#anyRow(count))
    this.#rowsLeft -= 1
    return true
  }

  /** One text per row, so that what a slow handler keeps of its event keeps no other event. */
  #plainRow(begin: number, count: number): EntryRows[number] {
    const spans = this.#spans as number[]
    const text = this.#bytes.toString('latin1', begin, this.#at)
    const part = (i: number) => text.slice((spans[i] as number) - begin, (spans[i + 1] as number) - begin)
    const fields = new Array<string>(count)
    for (let n = 0; n < count; n += 1) {
      const i = 2 + 2 * n
      fields[n] =
        (n % 2 === 0 && knownName(text, (spans[i] as number) - begin, (spans[i + 1] as number) - begin)) || part(i)
    }
    return [part(0), fields]
  }

  #anyRow(count: number): EntryRows[number] {
    const text = (i: number) => this.#bytes.toString('utf8', this.#spans[i], this.#spans[i + 1])
    return [text(0), Array.from({ length: count }, (_, n) => text(2 + 2 * n))]
  }

  /** The number in a line such as `*2` or `$11`, and goes behind it; -1 when the line is not complete. */
  #number(): number {
    const bytes = this.#bytes
    let at = this.#at + 1
    let value = 0
    for (; at < bytes.length; at += 1) {
      const byte = bytes[at] as number
      if (byte !== CR) value = value * 10 + byte - 48
      else {
        if (at + 2 > bytes.length) break
        this.#at = at + 2
        return value
      }
    }
    return -1
  }

  /** Goes behind the text that is next and returns where it starts; -1 when it is not complete. */
  #text(): number {
    const length = this.#number()
    if (length < 0) return -1
    const start = this.#at
    this.#at = start + length + 2
    if (this.#at <= this.#bytes.length) return start
    this.#needed = this.#at
    return -1
  }
}

function knownName(text: string, start: number, end: number): string | undefined {
  for (const name of namesByLength[end - start] ?? []) if (text.startsWith(name, start)) return name
  return undefined
}
