import { readJson, resolvePointer, textOf } from './json-pointer.ts'
import type { Lookup } from './preset-definition.ts'
import { type Headers, readHeader } from './request.ts'

/** The first text that the lookup's JSON pointers find in the body. */
export function textInBody(where: Lookup | undefined, body: Uint8Array): string | undefined {
  for (const pointer of where?.json ?? []) {
    const text = textOf(resolvePointer(readJson(body), pointer))
    if (text !== undefined) return text
  }
  return undefined
}

/** The text of a lookup; undefined where the sender has none, or sent its header several times. */
export function lookUp(where: Lookup | undefined, headers: Headers, body: Uint8Array): string | undefined {
  const header = readHeader(headers, where?.headers)
  if (typeof header === 'object') return undefined
  return header ?? textInBody(where, body)
}
