import { type PresetDefinition, placeholders } from './preset-definition.ts'
import { presetOf, refusedPresets } from './presets.ts'

const digestAlgorithms = ['sha256', 'sha1', 'sha512']
const handshakes = ['meta-get', 'slack', 'msgraph', 'eventgrid', 'cloudevents-options', 'discord']
const keyFormats: Record<string, string[]> = {
  ed25519: ['raw-hex', 'raw-base64', 'spki-der-base64'],
  'ecdsa-p256-sha256': ['spki-der-base64']
}

type Loose = Record<string, unknown>
type Fault = (text: string) => void

/**
 * Everything wrong with a preset, for the start: a name that is not in the table or is refused for a reason, or the
 * faults of a definition, one line each. It reads the definition as a stranger's: a topology may be plain JavaScript.
 */
export function checkPreset(preset: string | PresetDefinition): string[] {
  if (typeof preset !== 'string') return definitionFaults(preset)
  const reason = refusedPresets.get(preset)
  if (reason !== undefined) return [`preset '${preset}' is not supported: it ${reason}`]
  return presetOf(preset) === undefined ? [`there is no preset '${preset}'`] : []
}

const sound = new WeakMap<object, boolean>()

/** Whether a definition has no faults; remembered per object, for it is asked with every request. */
export function isSound(definition: PresetDefinition): boolean {
  if (typeof definition !== 'object' || definition === null) return false
  let known = sound.get(definition)
  if (known === undefined) {
    known = definitionFaults(definition).length === 0
    sound.set(definition, known)
  }
  return known
}

function definitionFaults(given: unknown): string[] {
  const faults: string[] = []
  const fault: Fault = (text) => faults.push(text)
  const definition = objectOf(given)
  if (definition.kind === 'token') tokenFaults(objectOf(definition.token), definition, fault)
  else if (definition.kind === 'hmac' || definition.kind === 'publicKey') {
    algorithmFaults(definition, fault)
    signatureFaults(objectOf(definition.signature), fault)
    contentFaults(definition, fault)
  } else fault(`kind is 'hmac', 'publicKey' or 'token', not '${String(definition.kind)}'`)
  lookupFaults(definition, fault)
  return faults
}

function algorithmFaults({ kind, algorithm, key }: Loose, fault: Fault): void {
  const known = kind === 'hmac' ? digestAlgorithms : Object.keys(keyFormats)
  if (!isOneOf(algorithm, known))
    fault(`algorithm '${String(algorithm)}' is unknown; ${String(kind)} has ${known.join(', ')}`)
  const { encoding, format, stripPrefix } = objectOf(key)
  const written = kind === 'hmac' ? ['utf8', 'base64', 'hex'] : (keyFormats[String(algorithm)] ?? [])
  if (!isOneOf(kind === 'hmac' ? encoding : format, written))
    fault(`key.${kind === 'hmac' ? 'encoding' : 'format'} is one of ${written.join(', ')}`)
  if (stripPrefix !== undefined && !isText(stripPrefix)) fault('key.stripPrefix is a text')
}

function signatureFaults({ headers, encoding, format }: Loose, fault: Fault): void {
  if (!isHeaderList(headers)) fault('signature.headers lists at least one lower-case header name')
  if (!isOneOf(encoding, ['hex', 'base64'])) fault("signature.encoding is 'hex' or 'base64'")
  const needed: Record<string, string[]> = {
    raw: [],
    prefixed: ['prefix'],
    list: ['separator', 'versionSeparator', 'version'],
    fields: ['separator', 'signatureKey']
  }
  const { type, ...rest } = objectOf(format)
  const members = isText(type) && Object.hasOwn(needed, type) ? needed[type] : undefined
  if (members === undefined) fault(`signature.format.type is one of ${Object.keys(needed).join(', ')}`)
  for (const member of members ?? []) if (!isText(rest[member])) fault(`signature.format.${member} is missing`)
}

/** A timestamp that the signature does not cover can be replaced by whoever replays the request. */
function contentFaults({ signed, signature, timestamp, id }: Loose, fault: Fault): void {
  if (!isText(signed)) {
    fault('signed is missing')
    return
  }
  const used = [...signed.matchAll(/\{(.*?)\}/g)].map((match) => String(match[1]))
  for (const name of used) if (!isOneOf(name, placeholders)) fault(`signed: {${name}} is unknown`)
  if (!used.includes('body') && signed !== '{twilio}')
    fault('signed: {body} is missing, so anyone could replace the body')
  if (used.includes('twilio') && signed !== '{twilio}') fault('signed: {twilio} stands alone')
  if (used.includes('id') && !isHeaderList(objectOf(id).headers)) fault('signed: {id} needs id.headers')
  if (timestamp === undefined) {
    if (used.includes('timestamp')) fault('signed: {timestamp} needs timestamp')
    return
  }
  const { headers, field, json, unit, tolerance } = objectOf(timestamp)
  if ([headers, field, json].filter((source) => source !== undefined).length !== 1)
    fault('timestamp has one of headers, field and json')
  if (headers !== undefined && !isHeaderList(headers))
    fault('timestamp.headers lists at least one lower-case header name')
  if (json !== undefined && !isPointer(json)) fault("timestamp.json is a JSON pointer, such as '/createdAt'")
  if (field !== undefined && (field !== true || !isText(objectOf(objectOf(signature).format).timestampKey)))
    fault('timestamp.field is true and needs signature.format.timestampKey')
  if (json === undefined && !used.includes('timestamp'))
    fault('timestamp is not part of signed, so it protects from nothing')
  if (json !== undefined && used.includes('timestamp')) fault('signed: {timestamp} does not reach into the body')
  if (!isOneOf(unit, ['s', 'ms', 'rfc3339'])) fault("timestamp.unit is 's', 'ms' or 'rfc3339'")
  if (tolerance !== null && !(Number.isFinite(tolerance) && Number(tolerance) > 0))
    fault('timestamp.tolerance is seconds above 0, or null')
}

function tokenFaults({ headers, prefix, query, json }: Loose, { timestamp }: Loose, fault: Fault): void {
  if (headers === undefined && query === undefined && json === undefined) fault('token has headers, query or json')
  if (headers !== undefined && !isHeaderList(headers)) fault('token.headers lists at least one lower-case header name')
  if (prefix !== undefined && !isText(prefix)) fault('token.prefix is a text')
  if (query !== undefined && !isText(query)) fault('token.query is the name of a query parameter')
  if (json !== undefined && !(isPointer(objectOf(json).items) && isPointer(objectOf(json).field)))
    fault('token.json.items and .field are JSON pointers')
  if (timestamp !== undefined) fault('a token signs no timestamp')
}

function lookupFaults(definition: Loose, fault: Fault): void {
  const { id, eventType, subject } = definition
  for (const [name, lookup] of Object.entries({ id, 'id.within': objectOf(id).within, eventType, subject })) {
    if (lookup === undefined) continue
    const { headers, json } = objectOf(lookup)
    if (headers === undefined && json === undefined) fault(`${name} has headers or json`)
    if (headers !== undefined && !isHeaderList(headers))
      fault(`${name}.headers lists at least one lower-case header name`)
    if (json !== undefined && !(Array.isArray(json) && json.every(isPointer))) fault(`${name}.json lists JSON pointers`)
  }
  const { answer, handshake } = definition
  const status = objectOf(answer).status
  if (answer !== undefined && !(Number.isInteger(status) && Number(status) >= 200 && Number(status) < 300))
    fault('answer.status is a 2xx status')
  if (handshake !== undefined && !isOneOf(handshake, handshakes)) fault(`handshake is one of ${handshakes.join(', ')}`)
}

const objectOf = (value: unknown): Loose => (typeof value === 'object' && value !== null ? (value as Loose) : {})
const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
const isOneOf = (value: unknown, known: readonly string[]) => typeof value === 'string' && known.includes(value)
const isPointer = (value: unknown) => isText(value) && value.startsWith('/')
const isHeaderList = (value: unknown) =>
  Array.isArray(value) && value.length > 0 && value.every((name) => isText(name) && /^[a-z0-9-]+$/.test(name))
