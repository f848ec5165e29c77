/**
 * The rules of CloudEvents 1.0.2 for attribute names and values, the same for JSON and for headers.
 * A rule returns what is wrong with the value, or undefined.
 */

export const coreAttributes = [
  'specversion',
  'id',
  'source',
  'type',
  'time',
  'subject',
  'datacontenttype',
  'dataschema'
] as const

export type CoreAttribute = (typeof coreAttributes)[number]

const extensionName = /^[a-z0-9]+$/
// RFC 2046 with the token and quoted-string of RFC 9110. Nothing here can match in two ways: no backtracking.
const mediaType =
  /^[!#$%&'*+.^_`|~\w-]+\/[!#$%&'*+.^_`|~\w-]+(?:[ \t]*;[ \t]*[!#$%&'*+.^_`|~\w-]+=(?:[!#$%&'*+.^_`|~\w-]+|"(?:[^"\\]|\\.)*"))*[ \t]*;?[ \t]*$/
const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:/
// RFC 3986 appendix A, loosely split: userinfo, host (a name, or an address in brackets), port; then the rest.
const authority = /^(?:[^@/?#[\]]*@)?(?:\[[0-9A-Za-z:.!$&'()*+,;=_~-]+\]|[^@:/?#[\]]*)(?::[0-9]*)?(?=[/?#]|$)/
// C0, DEL and C1 controls, noncharacters, surrogates without their other half.
const forbidden = /[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/u

export function isCoreAttribute(name: string): name is CoreAttribute {
  return (coreAttributes as readonly string[]).includes(name)
}

/** Any length: more than 20 characters or a leading digit is only advised against. */
export function isExtensionName(name: string): boolean {
  return extensionName.test(name) && name !== 'data'
}

/** Whether a string may be an attribute value at all. Printable ASCII always may. */
export function isAttributeText(value: string): boolean {
  return !forbidden.test(value)
}

/** What is wrong with the value of a core attribute; `value` is attribute text already. */
export function attributeFault(name: CoreAttribute, value: string): string | undefined {
  if (value === '') return 'is empty'
  switch (name) {
    case 'specversion':
      return value === '1.0' ? undefined : "is not '1.0', the only version understood here"
    case 'source':
      return isUriReference(value) ? undefined : 'is not a URI-reference (RFC 3986)'
    case 'dataschema':
      return scheme.test(value) && isUriReference(value) ? undefined : 'is not an absolute URI (RFC 3986)'
    case 'time':
      return isTimestamp(value) ? undefined : 'is not an RFC 3339 time with seconds and a full offset'
    case 'datacontenttype':
      return value === 'application/json' || mediaType.test(value) ? undefined : 'is not a media type (RFC 2046)'
    default:
      return undefined
  }
}

// What RFC 3986 lets stand for itself anywhere, and so the whole of most sources: unreserved characters and '/'.
const plainInUri = characterTable('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/')
const allowedInUri = characterTable(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:?#[]@!$&'()*+,;=%"
)

function characterTable(characters: string): Uint8Array {
  const table = new Uint8Array(128)
  for (const character of characters) table[character.charCodeAt(0)] = 1
  return table
}

/** RFC 3986 URI-reference: a URI or a relative reference, percent-encoding included. */
export function isUriReference(value: string): boolean {
  let plain = true
  for (let i = 0; i < value.length; i += 1) {
    const c = value.charCodeAt(i)
    if (plainInUri[c] === 1) continue
    if (allowedInUri[c] !== 1) return false
    plain = false
  }
  return (plain && !value.startsWith('//')) || isUriStructure(value)
}

function isUriStructure(value: string): boolean {
  if (/%(?![0-9A-Fa-f]{2})/.test(value)) return false
  // A colon before the first '/', '?' or '#' ends a scheme; a relative reference has none there.
  const schemeLength = scheme.exec(value)?.[0].length ?? 0
  if (schemeLength === 0 && /^[^/?#]*:/.test(value)) return false
  let rest = value.slice(schemeLength)
  if (rest.startsWith('//')) {
    const host = authority.exec(rest.slice(2))
    if (host === null) return false
    rest = rest.slice(2 + host[0].length)
  }
  return !/[[\]]/.test(rest) && rest.indexOf('#') === rest.lastIndexOf('#')
}

const dash = 0x2d
const plus = 0x2b
const dot = 0x2e
const colon = 0x3a
const letterT = 0x74
const letterZ = 0x7a

/** RFC 3339 date-time. A leap second is one only at 23:59:60 UTC. */
export function isTimestamp(value: string): boolean {
  // 2018-04-05T17:31:00Z: digits and separators stand at fixed places up to the seconds.
  const month = twoDigits(value, 5)
  const day = twoDigits(value, 8)
  const hour = twoDigits(value, 11)
  const minute = twoDigits(value, 14)
  const second = twoDigits(value, 17)
  const year = twoDigits(value, 0) * 100 + twoDigits(value, 2)
  // Written so that NaN, for what is no digit, fails each of them.
  if (!(year >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month))) return false
  if (!(hour <= 23 && minute <= 59 && second <= 60)) return false
  if (value.charCodeAt(4) !== dash || value.charCodeAt(7) !== dash) return false
  if (value.charCodeAt(13) !== colon || value.charCodeAt(16) !== colon) return false
  if ((value.charCodeAt(10) | 0x20) !== letterT) return false
  const offset = offsetMinutes(value, endOfFraction(value))
  if (offset === undefined) return false
  return second < 60 || (hour * 60 + minute - offset + 2880) % 1440 === 1439
}

/** The position after the fraction of a second, if there is one at all; an empty fraction gets nowhere. */
function endOfFraction(value: string): number {
  if (value.charCodeAt(19) !== dot) return 19
  let at = 20
  while (isDigit(value.charCodeAt(at))) at += 1
  return at === 20 ? 19 : at
}

/** Minutes east of UTC of the offset that ends the text at `at`. */
function offsetMinutes(value: string, at: number): number | undefined {
  const sign = value.charCodeAt(at)
  if ((sign | 0x20) === letterZ) return value.length === at + 1 ? 0 : undefined
  if ((sign !== plus && sign !== dash) || value.charCodeAt(at + 3) !== colon || value.length !== at + 6)
    return undefined
  const hours = twoDigits(value, at + 1)
  const minutes = twoDigits(value, at + 4)
  if (!(hours <= 23 && minutes <= 59)) return undefined
  return (sign === dash ? -1 : 1) * (hours * 60 + minutes)
}

/** The number of the two decimal digits at `at`; NaN when one of them is none. */
function twoDigits(value: string, at: number): number {
  const tens = value.charCodeAt(at)
  const units = value.charCodeAt(at + 1)
  return isDigit(tens) && isDigit(units) ? (tens - 0x30) * 10 + units - 0x30 : Number.NaN
}

function isDigit(c: number): boolean {
  return c >= 0x30 && c <= 0x39
}

function daysIn(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
}

const base64Character = characterTable('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')

/** RFC 4648 section 4: the standard alphabet with its padding and nothing else. */
export function isBase64(value: string): boolean {
  if (value.length % 4 !== 0) return false
  const padding = value.endsWith('==') ? 2 : value.endsWith('=') ? 1 : 0
  for (let i = 0; i < value.length - padding; i += 1) {
    if (base64Character[value.charCodeAt(i)] !== 1) return false
  }
  return true
}
