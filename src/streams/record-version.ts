/**
 * Versions of what Headgate keeps in Redis as one JSON text. While a version is rolled out, or back, processes of both
 * share everything; `v` in a record says that an older process must not act on it. Where there is no `v`, it is 1.
 *
 * Records made of separate fields (hashes, stream entries) need none: fields are only ever added, a process ignores what
 * it does not know, and none may depend on a field that an older process does not write.
 */

/** The record, if it is of version 1; undefined when it is newer, or nothing this process can read. */
export function ofVersion1<T>(text: string): T | undefined {
  try {
    const record = JSON.parse(text) as (T & { v?: number }) | null
    return typeof record === 'object' && record !== null && (record.v ?? 1) === 1 ? record : undefined
  } catch {
    return undefined
  }
}
