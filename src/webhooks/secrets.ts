import { createPublicKey, type KeyObject } from 'node:crypto'
import type { PresetDefinition, PublicKeyPreset } from './preset-definition.ts'
import { presetOf } from './presets.ts'

/** The bytes of a strictly written text: lower-case hex, or canonical padded base64; undefined for anything else. */
export function decodeStrictly(text: string, encoding: 'hex' | 'base64'): Buffer | undefined {
  const bytes = Buffer.from(text, encoding)
  return bytes.length > 0 && bytes.toString(encoding) === text ? bytes : undefined
}

/**
 * The key that a configured secret stands for: bytes for HMAC and tokens, a public key for asymmetric schemes.
 * Undefined when the secret is empty, has white space at an edge or is not written as the scheme wants.
 */
export function keyFromSecret(definition: PresetDefinition, secret: string): Buffer | KeyObject | undefined {
  if (secret === '' || secret.trim() !== secret) return undefined
  if (definition.kind === 'token') return Buffer.from(secret)
  const { stripPrefix } = definition.key
  const text = stripPrefix !== undefined && secret.startsWith(stripPrefix) ? secret.slice(stripPrefix.length) : secret
  if (definition.kind === 'publicKey') return publicKey(definition, text)
  const { encoding } = definition.key
  if (encoding === 'utf8') return text === '' ? undefined : Buffer.from(text)
  return decodeStrictly(encoding === 'hex' ? text.toLowerCase() : text, encoding)
}

function publicKey({ algorithm, key: { format } }: PublicKeyPreset, text: string): KeyObject | undefined {
  const bytes = format === 'raw-hex' ? decodeStrictly(text.toLowerCase(), 'hex') : decodeStrictly(text, 'base64')
  if (bytes === undefined) return undefined
  let key: KeyObject
  try {
    key =
      format === 'spki-der-base64'
        ? createPublicKey({ key: bytes, format: 'der', type: 'spki' })
        : createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') }, format: 'jwk' })
  } catch {
    return undefined
  }
  const isP256 = key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
  return (algorithm === 'ed25519' ? key.asymmetricKeyType === 'ed25519' : isP256) ? key : undefined
}

/** Why a configured secret cannot be used with a preset, for the start; none when it can. Never quotes the secret. */
export function checkSecret(preset: string | PresetDefinition, secret: string): string[] {
  const definition = presetOf(preset)
  if (definition === undefined) return [`there is no preset '${preset}'`]
  if (secret === '') return ['the secret is empty']
  if (secret.trim() !== secret) return ['the secret begins or ends with white space']
  if (keyFromSecret(definition, secret) !== undefined) return []
  if (definition.kind === 'publicKey')
    return [`the secret is not a ${definition.algorithm} public key (${definition.key.format})`]
  return [
    `the secret is not ${definition.kind === 'hmac' ? definition.key.encoding : 'text'}, or is empty behind its prefix`
  ]
}
