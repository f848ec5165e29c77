/**
 * JSON text to drafts: one CloudEvent object or an array of them, in one pass.
 *
 * Members are found by position, so `data` is the client's own bytes and never a re-serialisation. JSON.parse sees
 * each `data` once, which both proves it and yields the value for the schema check.
 */
import { attributeFault, type CoreAttribute, isAttributeText, isBase64, isExtensionName } from './attributes.ts'
import { type Decoded, type Draft, emptyDraft } from './draft.ts'
import { type Member, memberAt, requiredByFormat, requiredByUs } from './envelope.ts'
import { createFaultList, type FaultList, type Faults, oneFault, pointerStep } from './faults.ts'
import { endOfString, endOfValue, MalformedJson, parse, skipSpace, stringAt } from './json-members.ts'

interface Reading {
  text: string
  required: readonly Member[]
  faults: FaultList
  drafts: Draft[]
  /** Members of the current event so far, as bits, and the extensions among them that were null. */
  seen: number
  nullExtensions: string[]
}

const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const comma = 0x2c
const colon = 0x3a
const quote = 0x22
const integer = /^-?(?:0|[1-9]\d*)$/

/** What a body has to be. */
export interface JsonForm {
  top: 'object' | 'array' | 'either'
  required: readonly Member[]
}

/** CloudEvents' own formats and ours, which fills in what it does not require. `line` is ours on a line of NDJSON. */
export const jsonForms: Record<'structured' | 'batched' | 'json' | 'line', JsonForm> = {
  structured: { top: 'object', required: requiredByFormat },
  batched: { top: 'array', required: requiredByFormat },
  json: { top: 'either', required: requiredByUs },
  line: { top: 'object', required: requiredByUs }
}

/**
 * Never throws: text that is not JSON is one fault, and every rule that an event breaks is a fault of its own.
 * Reading stops at event number `maxEvents`, so an endless array costs no more than a full one.
 */
export function decodeJsonEvents(text: string, form: JsonForm, maxEvents: number): Decoded | Faults {
  const { required } = form
  const reading: Reading = { text, required, faults: createFaultList(), drafts: [], seen: 0, nullExtensions: [] }
  try {
    const start = skipSpace(text, 0)
    const single = text.charCodeAt(start) !== openBracket
    const isArray = !single && form.top !== 'object'
    const end = isArray ? readArray(reading, start, maxEvents) : readAlone(reading, start, form.top)
    if (end === tooMany) return oneFault('too-many-events', '', `a body carries at most ${maxEvents} events`)
    const rest = skipSpace(text, end)
    if (rest < text.length) throw new MalformedJson(rest)
    return reading.faults.result() ?? { ok: true, drafts: reading.drafts, single }
  } catch (error) {
    if (error instanceof MalformedJson) return oneFault('malformed-json', '', `the body is ${error.message}`)
    throw error
  }
}

function readAlone(reading: Reading, at: number, top: JsonForm['top']): number {
  if (top !== 'array') return readEvent(reading, at, 0, '')
  fault(reading, '', 'a batch is a JSON array of events')
  return skipValue(reading.text, at)
}

const tooMany = -1

/** Returns the position after the array, or `tooMany`. */
function readArray(reading: Reading, start: number, maxEvents: number): number {
  const { text } = reading
  let at = skipSpace(text, start + 1)
  if (text.charCodeAt(at) === closeBracket) return at + 1
  for (let index = 0; index < maxEvents; index += 1) {
    at = skipSpace(text, readEvent(reading, at, index, `/${index}`))
    const c = text.charCodeAt(at)
    if (c === closeBracket) return at + 1
    if (c !== comma) throw new MalformedJson(at)
    at = skipSpace(text, at + 1)
  }
  return tooMany
}

/** Reads the event at `start`, adds its draft and its faults, and returns the position after it. */
function readEvent(reading: Reading, start: number, index: number, pointer: string): number {
  const { text } = reading
  if (text.charCodeAt(start) !== openBrace) {
    fault(reading, pointer, 'an event is a JSON object')
    return skipValue(text, start)
  }
  const draft = emptyDraft(index, pointer)
  reading.drafts.push(draft)
  reading.seen = 0
  if (reading.nullExtensions.length > 0) reading.nullExtensions = []
  let at = skipSpace(text, start + 1)
  if (text.charCodeAt(at) !== closeBrace) at = readMembers(reading, draft, at)
  checkWhole(reading, draft)
  return at + 1
}

/** Reads members from the first name on; returns the position of the closing brace. */
function readMembers(reading: Reading, draft: Draft, first: number): number {
  const { text } = reading
  let at = first
  for (;;) {
    if (text.charCodeAt(at) !== quote) throw new MalformedJson(at)
    const nameAt = at
    const nameEnd = endOfString(text, at)
    at = skipSpace(text, Math.abs(nameEnd))
    if (text.charCodeAt(at) !== colon) throw new MalformedJson(at)
    at = skipSpace(text, at + 1)
    const member = memberAt(text, nameAt, nameEnd)
    if (member === undefined) at = readExtension(reading, draft, stringAt(text, nameAt, nameEnd), at)
    else at = readMember(reading, draft, member, at)
    at = skipSpace(text, at)
    const c = text.charCodeAt(at)
    if (c === closeBrace) return at
    if (c !== comma) throw new MalformedJson(at)
    at = skipSpace(text, at + 1)
  }
}

/** The rules that need all members. */
function checkWhole(reading: Reading, draft: Draft): void {
  for (const member of reading.required) {
    if ((reading.seen & member.bit) === 0) missing(reading, draft, member)
  }
  if (draft.data !== undefined && draft.data_base64 !== undefined)
    fault(reading, `${draft.pointer}/data_base64`, "stands next to 'data': an event has one of the two")
}

/** Reads the value at `at` into the draft; returns the position after it. */
function readMember(reading: Reading, draft: Draft, member: Member, at: number): number {
  if ((reading.seen & member.bit) !== 0) fault(reading, `${draft.pointer}/${member.name}`, 'is there twice')
  reading.seen |= member.bit
  if (member.name === 'data') return readData(reading, draft, at)
  if (member.name === 'data_base64') return readBase64(reading, draft, at)
  return readAttribute(reading, draft, member, member.name, at)
}

function readData({ text }: Reading, draft: Draft, at: number): number {
  const end = endOfValue(text, at)
  draft.data = text.slice(at, end)
  draft.value = parse(draft.data, at)
  return end
}

function readAttribute(reading: Reading, draft: Draft, member: Member, name: CoreAttribute, at: number): number {
  const { text } = reading
  if (text.charCodeAt(at) !== quote) {
    const end = skipValue(text, at)
    // Null is the same as leaving the attribute out.
    if (text.slice(at, end) !== 'null') fault(reading, `${draft.pointer}/${name}`, 'is not a string')
    else if (reading.required.includes(member)) missing(reading, draft, member)
    return end
  }
  const end = endOfString(text, at)
  const value = stringAt(text, at, end)
  const wrong = end < 0 && !isAttributeText(value) ? notText : attributeFault(name, value)
  if (wrong !== undefined) fault(reading, `${draft.pointer}/${name}`, wrong)
  setAttribute(draft, name, value)
  return Math.abs(end)
}

/** One store per name: with a computed name it would be the slowest step of decoding. */
function setAttribute(draft: Draft, name: CoreAttribute, value: string): void {
  if (name === 'id') draft.id = value
  else if (name === 'source') draft.source = value
  else if (name === 'type') draft.type = value
  else if (name === 'time') draft.time = value
  else draft[name] = value
}

function readBase64(reading: Reading, draft: Draft, at: number): number {
  const { text } = reading
  const isString = text.charCodeAt(at) === quote
  const end = isString ? endOfString(text, at) : skipValue(text, at)
  const value = isString ? stringAt(text, at, end) : undefined
  if (value !== undefined && isBase64(value)) draft.data_base64 = value
  else if (isString || text.slice(at, end) !== 'null')
    fault(reading, `${draft.pointer}/data_base64`, 'is not a string of Base64 (RFC 4648 section 4)')
  return Math.abs(end)
}

/** Extensions are kept as strings: Booleans and integers in the canonical form that headers would carry. */
function readExtension(reading: Reading, draft: Draft, name: string, at: number): number {
  const { text } = reading
  const isString = text.charCodeAt(at) === quote
  const end = isString ? endOfString(text, at) : skipValue(text, at)
  const value = isString ? stringAt(text, at, end) : text.slice(at, end)
  const wrong = extensionFault(reading, draft, name, value, isString)
  if (wrong !== undefined) fault(reading, draft.pointer + pointerStep(name), wrong)
  else if (!isString && value === 'null') reading.nullExtensions.push(name)
  else {
    draft.extensions ??= {}
    draft.extensions[name] = !isString && value === '-0' ? '0' : value
  }
  return Math.abs(end)
}

const notText = 'holds a control character, a noncharacter or half a surrogate pair'

function extensionFault(
  reading: Reading,
  draft: Draft,
  name: string,
  value: string,
  isString: boolean
): string | undefined {
  if (!isExtensionName(name)) return 'is not an attribute name: those are made of a-z and 0-9'
  if (draft.extensions !== undefined && Object.hasOwn(draft.extensions, name)) return 'is there twice'
  if (reading.nullExtensions.includes(name)) return 'is there twice'
  if (isString) return isAttributeText(value) ? undefined : notText
  if (value === 'null' || value === 'true' || value === 'false' || isInteger(value)) return undefined
  return 'is not a string, a Boolean or a 32-bit integer'
}

function isInteger(text: string): boolean {
  return integer.test(text) && Number(text) === (Number(text) | 0)
}

function missing(reading: Reading, draft: Draft, member: Member): void {
  fault(reading, `${draft.pointer}/${member.name}`, 'is required')
}

function fault(reading: Reading, pointer: string, detail: string): void {
  reading.faults.add('invalid-event', pointer, detail)
}

/** The position after a value that is not kept; it still has to be JSON. */
function skipValue(text: string, at: number): number {
  const end = endOfValue(text, at)
  parse(text.slice(at, end), at)
  return end
}
