/**
 * Binary mode of the CloudEvents HTTP binding: attributes are `ce-*` headers, the body is the data as it is.
 */
import { isUtf8 } from 'node:buffer'
import { attributeFault, isAttributeText, isCoreAttribute, isExtensionName } from './attributes.ts'
import { type Decoded, type Draft, emptyDraft } from './draft.ts'
import { createFaultList, type FaultList, type Faults, pointerStep } from './faults.ts'
import { type Headers, isEventHeader, isJsonType } from './media-type.ts'

/** Never throws: every header that breaks a rule is a fault, and so is a JSON body that is not JSON. */
export function decodeBinaryEvent(headers: Headers, body: Buffer): Decoded | Faults {
  const faults = createFaultList()
  const draft = emptyDraft(0, '')
  const sent = new Set<string>()
  for (const header in headers) {
    const value = headers[header]
    if (value === undefined) continue
    if (isEventHeader(header)) {
      const name = header.slice(3).toLowerCase()
      const wrong = sent.has(name) ? sentTwice : readHeader(draft, name, value)
      if (wrong !== undefined) faults.add('invalid-event', pointerStep(name), wrong)
      sent.add(name)
    } else if (header.toLowerCase() === 'content-type') readContentType(draft, value, faults)
  }
  for (const name of ['specversion', 'id', 'source', 'type']) {
    if (!sent.has(name)) faults.add('invalid-event', `/${name}`, `is required: there is no header ce-${name}`)
  }
  if (body.length > 0) readBody(draft, body, faults)
  return faults.result() ?? { ok: true, drafts: [draft], single: true }
}

const sentTwice = 'is there more than once'

/** Puts one attribute into the draft; returns what is wrong with it. */
function readHeader(draft: Draft, name: string, sent: string | string[]): string | undefined {
  if (name === 'datacontenttype') return 'has no header of its own: Content-Type says it'
  const isCore = isCoreAttribute(name)
  if (!isCore && !isExtensionName(name)) return 'is not an attribute name: those are made of a-z and 0-9'
  if (Array.isArray(sent) && sent.length !== 1) return sentTwice
  const decoded = decodeHeaderValue(Array.isArray(sent) ? (sent[0] as string) : sent)
  if (!decoded.ok) return decoded.detail
  const { value } = decoded
  if (!isAttributeText(value)) return 'holds a control character or a noncharacter'
  if (isCore) {
    draft[name] = value
    return attributeFault(name, value)
  }
  draft.extensions ??= {}
  draft.extensions[name] = value
  return undefined
}

function readContentType(draft: Draft, sent: string | string[], faults: FaultList): void {
  const value = Array.isArray(sent) ? (sent[0] ?? '') : sent
  if (value === '') return
  const wrong = attributeFault('datacontenttype', value)
  if (wrong !== undefined) faults.add('invalid-event', '/datacontenttype', `${wrong}; it is the Content-Type`)
  draft.datacontenttype = value
}

/** JSON stays text and is stored as it is; any other body is bytes. */
function readBody(draft: Draft, body: Buffer, faults: FaultList): void {
  if (!isJsonType(draft.datacontenttype)) {
    draft.data_base64 = body.toString('base64')
    return
  }
  try {
    if (!isUtf8(body)) throw new SyntaxError('not UTF-8')
    const text = body.toString()
    draft.value = JSON.parse(text)
    draft.data = text
  } catch {
    faults.add('malformed-json', '', 'the body is not JSON in UTF-8, which its Content-Type says it is')
  }
}

const needsDecoding = /["%\u0080-\uffff]/
const badPercent = /%(?![0-9A-Fa-f]{2})/
const beyondLatin1 = /[\u0100-\uffff]/

/**
 * The attribute value of a header (HTTP binding 3.1.3.2): double-quoted parts lose their quotes and backslashes, then
 * one round of percent-decoding. Node reads headers as Latin-1, so bytes that were sent raw are bytes again here and
 * count like encoded ones; all of them together have to be UTF-8.
 */
export function decodeHeaderValue(sent: string): { ok: true; value: string } | { ok: false; detail: string } {
  if (!needsDecoding.test(sent)) return { ok: true, value: sent }
  const unquoted = unquote(sent)
  if (unquoted === undefined) return { ok: false, detail: 'has a double quote that is not closed' }
  if (badPercent.test(unquoted)) return { ok: false, detail: 'has a % without two hexadecimal digits' }
  const decoded = unquoted.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  const bytes = Buffer.from(decoded, 'latin1')
  if (beyondLatin1.test(decoded) || !isUtf8(bytes)) return { ok: false, detail: 'is not UTF-8 once percent-decoded' }
  return { ok: true, value: bytes.toString() }
}

/** The value without the quotes around its quoted parts and the backslashes in them; undefined for an open quote. */
function unquote(sent: string): string | undefined {
  if (!sent.includes('"')) return sent
  let value = ''
  let quoted = false
  for (let i = 0; i < sent.length; i += 1) {
    if (sent[i] === '"') quoted = !quoted
    else {
      if (quoted && sent[i] === '\\') i += 1
      value += sent[i] ?? ''
    }
  }
  return quoted ? undefined : value
}
