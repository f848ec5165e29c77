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

/**
 * The event of a flat field list. Fields with a dot in their name are Headgate's own and are left out. An entry that
 * some other client wrote may lack attributes: those it must have are empty then.
 */
export function eventFromFields(fields: readonly string[]): CloudEvent {
  // One shape for every event, so that handlers read them at full speed.
  const event: CloudEvent = {
    id: '',
    source: '',
    type: '',
    time: undefined,
    subject: undefined,
    datacontenttype: undefined,
    dataschema: undefined,
    data: undefined,
    data_base64: undefined,
    extensions: undefined
  }
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] as string
    const value = fields[i + 1] as string
    switch (name) {
      case 'id':
      case 'source':
      case 'type':
      case 'time':
      case 'subject':
      case 'datacontenttype':
      case 'dataschema':
      case 'data':
      case 'data_base64':
        event[name] = value
        break
      default:
        if (!name.includes('.')) {
          event.extensions ??= {}
          event.extensions[name] = value
        }
    }
  }
  return event
}

const none: Readonly<Record<string, string>> = Object.freeze({})

/** An event as a handler sees it. `data` is parsed on first access only: many handlers never look. */
class Received implements ReceivedEvent {
  readonly #event: CloudEvent
  #value: unknown
  #isParsed = false

  constructor(event: CloudEvent) {
    this.#event = event
  }
  get id() {
    return this.#event.id
  }
  get source() {
    return this.#event.source
  }
  get type() {
    return this.#event.type
  }
  get time() {
    return this.#event.time
  }
  get subject() {
    return this.#event.subject
  }
  get datacontenttype() {
    return this.#event.datacontenttype
  }
  get dataschema() {
    return this.#event.dataschema
  }
  get extensions() {
    return this.#event.extensions ?? none
  }
  get dataText() {
    return this.#event.data
  }
  get data() {
    if (!this.#isParsed) {
      const { data, data_base64 } = this.#event
      if (data !== undefined) this.#value = JSON.parse(data)
      else if (data_base64 !== undefined) this.#value = Buffer.from(data_base64, 'base64')
      this.#isParsed = true
    }
    return this.#value
  }
}

export function receivedEvent(event: CloudEvent): ReceivedEvent {
  return new Received(event)
}
