/**
 * An event as the client sent it: checked, nothing filled in yet.
 */
export interface Draft {
  type: string
  /** '1.0' when it was sent; our own JSON form may leave it out. */
  specversion?: string
  id?: string
  source?: string
  /** RFC 3339, as sent. */
  time?: string
  subject?: string
  datacontenttype?: string
  dataschema?: string
  /** JSON text, byte-exact as sent. Never together with `data_base64`. */
  data?: string
  data_base64?: string
  /** Extension attributes in their canonical string form. */
  extensions?: Record<string, string>
  /** `data` parsed, for schema checks; undefined without `data`. */
  value?: unknown
  /** Place in the array it came in. */
  index: number
  /** Where it stands in the body, as a JSON pointer: `''` alone, `/3` in an array. */
  pointer: string
}

/** All members in one order from the start, so that every draft has the same hidden class. */
export function emptyDraft(index: number, pointer: string): Draft {
  return {
    type: '',
    specversion: undefined,
    id: undefined,
    source: undefined,
    time: undefined,
    subject: undefined,
    datacontenttype: undefined,
    dataschema: undefined,
    data: undefined,
    data_base64: undefined,
    extensions: undefined,
    value: undefined,
    index,
    pointer
  }
}

/** A body that could be read whole, every event of it in keeping with CloudEvents. */
export interface Decoded {
  ok: true
  drafts: Draft[]
  /** One event by itself rather than an array, even of one. */
  single: boolean
}
