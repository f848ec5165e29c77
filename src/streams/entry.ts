/**
 * An event and its stream entry.
 *
 * An entry's fields are the flat CloudEvent: the attributes under their own names, `data` as JSON text exactly as it
 * was received or `data_base64` for anything else, and extensions under their own names. Attribute names are
 * `[a-z0-9]+`, so Headgate's own fields, which all hold a dot (`retry.attempts`, `dead.reason`), can never collide.
 */

/** A CloudEvent 1.0 whose attributes are complete (nothing is left to fill in). */
export interface CloudEvent {
  id: string
  source: string
  type: string
  /** RFC 3339, as sent. */
  time?: string
  subject?: string
  datacontenttype?: string
  dataschema?: string
  /** JSON text, byte-exact as received. Never together with `data_base64`. */
  data?: string
  data_base64?: string
  /** Extension attributes in their canonical string form. */
  extensions?: Record<string, string>
}

/** What a handler receives: the attributes, and `data` parsed on first use. */
export interface ReceivedEvent {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly time?: string
  readonly subject?: string
  readonly datacontenttype?: string
  readonly dataschema?: string
  readonly extensions: Readonly<Record<string, string>>
  /** `data` as JSON text, byte-exact as it was posted; absent for binary data and for events without data. */
  readonly dataText?: string
  /** `data` parsed; a Buffer for `data_base64`; undefined for an event without data. Throws SyntaxError if undecodable. */
  readonly data: unknown
}

const attributes = new Set([
  'id',
  'source',
  'type',
  'time',
  'subject',
  'datacontenttype',
  'dataschema',
  'data',
  'data_base64'
])

/** The flat `[name, value, ...]` list that XADD takes. */
export function fieldsFromEvent(event: CloudEvent): string[] {
  const fields = ['id', event.id, 'source', event.source, 'type', event.type]
  if (event.time !== undefined) fields.push('time', event.time)
  if (event.subject !== undefined) fields.push('subject', event.subject)
  if (event.datacontenttype !== undefined) fields.push('datacontenttype', event.datacontenttype)
  if (event.dataschema !== undefined) fields.push('dataschema', event.dataschema)
  if (event.extensions !== undefined) {
    for (const name in event.extensions) fields.push(name, event.extensions[name] as string)
  }
  if (event.data !== undefined) fields.push('data', event.data)
  else if (event.data_base64 !== undefined) fields.push('data_base64', event.data_base64)
  return fields
}

/** One field of a flat `[name, value, ...]` list. */
export function fieldOf(fields: readonly string[], name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1]
  return undefined
}

/** The event of a flat field list. Fields with a dot in their name are Headgate's own and are left out. */
export function eventFromFields(fields: readonly string[]): CloudEvent {
  const event: Record<string, unknown> = {}
  let extensions: Record<string, string> | undefined
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] as string
    if (attributes.has(name)) event[name] = fields[i + 1]
    else if (!name.includes('.')) {
      extensions ??= {}
      extensions[name] = fields[i + 1] as string
    }
  }
  if (extensions !== undefined) event.extensions = extensions
  // An entry some other client wrote may lack attributes; the empty string says so without lying.
  event.id ??= ''
  event.source ??= ''
  event.type ??= ''
  return event as unknown as CloudEvent
}

/** The event as a handler sees it. `data` is parsed on first access only: many handlers never look. */
export function receivedEvent(event: CloudEvent): ReceivedEvent {
  let parsed = false
  let value: unknown
  return {
    id: event.id,
    source: event.source,
    type: event.type,
    time: event.time,
    subject: event.subject,
    datacontenttype: event.datacontenttype,
    dataschema: event.dataschema,
    extensions: event.extensions ?? {},
    dataText: event.data,
    get data() {
      if (!parsed) {
        if (event.data !== undefined) value = JSON.parse(event.data)
        else if (event.data_base64 !== undefined) value = Buffer.from(event.data_base64, 'base64')
        parsed = true
      }
      return value
    }
  }
}
