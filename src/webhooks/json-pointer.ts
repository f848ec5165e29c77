const parsed = new WeakMap<Uint8Array, { json: unknown }>()

/**
 * A body as JSON; undefined when it is not.
 * Remembered per body object, which nobody changes: a delivery is verified, identified and stored from one parse.
 */
export function readJson(body: Uint8Array): unknown {
  let known = parsed.get(body)
  if (known === undefined) {
    known = { json: parse(body) }
    parsed.set(body, known)
  }
  return known.json
}

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'))
  } catch {
    return undefined
  }
}

/** What an RFC 6901 pointer leads to; undefined when it leads nowhere. */
export function resolvePointer(document: unknown, pointer: string): unknown {
  let value = document
  for (const token of pointer.split('/').slice(1)) {
    const key = token.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return value
}

/**
 * A JSON string or whole number as text; undefined for anything else.
 * A number beyond 2^53 has lost digits: two ids could look the same, so it is no id.
 */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value === '' ? undefined : value
  return Number.isSafeInteger(value) ? String(value) : undefined
}
