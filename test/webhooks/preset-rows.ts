/** The README's table of presets, made from the presets. */
import { deliveryIdentity, type PresetDefinition, type TokenPreset } from '../../src/webhooks/preset-definition.ts'

export const heading = ['Preset', 'What is checked', 'Age', 'Known again by', 'Not checked']

const code = (text: string) => `\`${text}\``
const listed = (names: readonly string[]) => names.map(code).join(' or ')

/** The cells of one preset. */
export function presetRow(name: string, preset: PresetDefinition): string[] {
  const { toleranceSeconds, idSigned, firstOfBatch } = deliveryIdentity(preset)
  const age = toleranceSeconds === null ? 'any' : `± ${toleranceSeconds} s`
  const byId = preset.id !== undefined && !firstOfBatch
  const byBody = !byId || !(idSigned || toleranceSeconds !== null || preset.kind === 'token')
  const from = [...(preset.id?.headers ?? []), ...(preset.id?.json ?? [])]
  const knownBy = [...(byId ? [`its id: ${listed(from)}`] : []), ...(byBody ? ['its body'] : [])].join(', or ')
  return [code(name), checked(preset), age, knownBy, unchecked(preset).join(', ') || '–']
}

function checked(preset: PresetDefinition): string {
  if (preset.kind === 'token') return `a secret in ${whereToken(preset.token)}`
  const algorithm = { sha256: 'HMAC-SHA256', sha1: 'HMAC-SHA1', sha512: 'HMAC-SHA512' }
  const publicKey = { ed25519: 'Ed25519', 'ecdsa-p256-sha256': 'ECDSA P-256' }
  const scheme = preset.kind === 'hmac' ? algorithm[preset.algorithm] : publicKey[preset.algorithm]
  if (preset.signed === '{twilio}') return `${scheme} over URL and form, or the hash of the body in the URL`
  const parts = [...preset.signed.matchAll(/\{(\w+)\}/g)].map(([, part = '']) => part.replace('unescapedUrl', 'URL'))
  return `${scheme} over ${parts.join(', ').replace('url', 'URL')}`
}

function whereToken({ headers = [], query, json }: TokenPreset['token']): string {
  if (json !== undefined) return `${code(json.field)} of every item of ${code(json.items)}`
  const inQuery = query === undefined ? [] : [`the query parameter ${code(query)}`]
  return [...headers.map((header) => `the header ${code(header)}`), ...inQuery].join(' or ')
}

/** A header is never signed, but for the id and the timestamp where they are part of what is. */
function unchecked(preset: PresetDefinition): string[] {
  if (preset.kind === 'token') return ['everything else: the sender signs nothing']
  const idHeaders = preset.signed.includes('{id}') ? [] : (preset.id?.headers ?? [])
  return [
    ...(idHeaders.length > 0 ? ['the id'] : []),
    ...(preset.eventType?.headers === undefined ? [] : ['the event type']),
    ...(preset.timestamp === undefined ? ['when it was sent'] : [])
  ]
}

/** The whole table in Markdown. */
export function presetTable(presets: Iterable<[string, PresetDefinition]>): string {
  const rows = [heading, heading.map(() => '---'), ...Array.from(presets, ([name, preset]) => presetRow(name, preset))]
  return rows.map((cells) => `| ${cells.join(' | ')} |\n`).join('')
}
