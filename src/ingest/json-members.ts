/**
 * Finds members in JSON text without building values, so that `data` can be kept byte for byte as it was sent.
 *
 * Positions are UTF-16 offsets into the text. Names and attribute strings are checked completely here; the end of a
 * nested value is found by counting brackets, and it is up to the caller to hand that slice to JSON.parse, which
 * checks the rest. No recursion: nesting costs nothing.
 */

/** The text is not JSON; `at` is where it stops being so. */
export class MalformedJson extends Error {
  readonly at: number
  constructor(at: number) {
    super(`not valid JSON at character ${at}`)
    this.at = at
  }
}

const quote = 0x22
const backslash = 0x5c

/** The first position at or after `at` that is not JSON white space. */
export function skipSpace(text: string, at: number): number {
  let i = at
  for (; i < text.length; i += 1) {
    const c = text.charCodeAt(i)
    if (c > 0x20 || (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09)) break
  }
  return i
}

/**
 * The position after the string that starts at `at` (its opening quote).
 * Negated when the string holds an escape or anything outside U+0020..U+007E, and so is more than its own slice.
 */
export function endOfString(text: string, at: number): number {
  let plain = true
  for (let i = at + 1; i < text.length; i += 1) {
    const c = text.charCodeAt(i)
    if (c === quote) return plain ? i + 1 : -(i + 1)
    if (c === backslash) {
      plain = false
      i += 1
    } else if (c > 0x7e) plain = false
    else if (c < 0x20) throw new MalformedJson(i)
  }
  throw new MalformedJson(text.length)
}

/** The string between `at` and `end` as endOfString returned it. Throws MalformedJson on a bad escape. */
export function stringAt(text: string, at: number, end: number): string {
  return end > 0 ? text.slice(at + 1, end - 1) : (parse(text.slice(at, -end), at) as string)
}

/** The position after the value at `at`, by brackets and quotes alone: it may still not be JSON in between. */
export function endOfValue(text: string, at: number): number {
  const first = text.charCodeAt(at)
  if (first === quote) return Math.abs(endOfString(text, at))
  // '[' and '{', ']' and '}' differ in bit 0x20 only. Which closes which is left to JSON.parse.
  if ((first | 0x20) !== 0x7b) return endOfScalar(text, at)
  let depth = 0
  for (let i = at; i < text.length; i += 1) {
    const c = text.charCodeAt(i)
    if (c === quote) {
      // Written out for speed: a call per string doubles the time of the whole scan.
      for (i += 1; i < text.length; i += 1) {
        const inside = text.charCodeAt(i)
        if (inside === quote) break
        if (inside === backslash) i += 1
      }
    } else if ((c | 0x20) === 0x7b) depth += 1
    else if ((c | 0x20) === 0x7d) {
      depth -= 1
      if (depth === 0) return i + 1
    }
  }
  throw new MalformedJson(text.length)
}

/** JSON.parse of a slice that starts at `at` of the whole text. Throws MalformedJson. */
export function parse(slice: string, at: number): unknown {
  try {
    return JSON.parse(slice)
  } catch {
    throw new MalformedJson(at)
  }
}

function endOfScalar(text: string, at: number): number {
  let i = at
  for (; i < text.length; i += 1) {
    const c = text.charCodeAt(i)
    if (c === 0x2c || (c | 0x20) === 0x7d || c <= 0x20) break
  }
  if (i === at) throw new MalformedJson(at)
  return i
}
