/**
 * API keys and what they may do. Pure: text in, decisions out.
 *
 * `publish[:pattern]` · `observe` · `read[:pattern]` · `admin[:pattern]`; admin includes read, read includes observe.
 * The pattern is over stream names, and its `*` matches any characters, colons too.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { StartupError } from '../startup-error.ts'

export type Action = 'publish' | 'observe' | 'read' | 'admin'

export interface ApiKey {
  name: string
  /** Requests per second that one process takes from it; undefined = any number. */
  ratePerSecond?: number
  /** May this key do it on this stream or, without a stream, on any stream at all? */
  may: (action: Action, stream?: string) => boolean
}

/**
 * The key behind an Authorization header; undefined when there is none or nobody knows it. `connection` is what it came
 * over: a header that is the last one's of the same connection need not be hashed again.
 */
export type Authenticate = (authorization: string | undefined, connection: object) => ApiKey | undefined

const bearer = /^Bearer +([\x21-\x7e]+) *$/i
const includes: Record<Action, readonly Action[]> = {
  publish: ['publish'],
  observe: ['observe', 'read', 'admin'],
  read: ['read', 'admin'],
  admin: ['admin']
}

/**
 * Reads `[{ name, sha256: [hex], scopes: [...], ratePerSecond? }]`. `from` names the setting in the lines of a StartupError.
 * A presented key is compared with every configured hash in constant time, found or not.
 */
export function authenticatorFromJson(json: string, from: string): Authenticate {
  const known = parseKeys(json, from)
  const presented = Buffer.alloc(32)
  const lastOn = new WeakMap<object, { header: Uint8Array; key: ApiKey }>()
  return (authorization, connection) => {
    if (authorization === undefined) return undefined
    const header = Buffer.from(authorization, 'latin1')
    const last = lastOn.get(connection)
    if (last?.header.length === header.length && timingSafeEqual(last.header, header)) return last.key
    const token = bearer.exec(authorization)?.[1]
    if (token === undefined) return undefined
    // As text and back again: a third of the time of asking for a Buffer.
    presented.write(hash('sha256', token, 'hex'), 'hex')
    let found: ApiKey | undefined
    for (const { digest, key } of known) if (timingSafeEqual(digest, presented)) found = key
    // A copy: a short Buffer is part of a pool, all of which would be kept.
    if (found !== undefined) lastOn.set(connection, { header: new Uint8Array(header), key: found })
    return found
  }
}

interface KnownHash {
  digest: Buffer
  key: ApiKey
}

function parseKeys(json: string, from: string): KnownHash[] {
  let entries: unknown
  try {
    entries = JSON.parse(json)
  } catch {
    throw new StartupError(`${from} is not JSON`)
  }
  if (!Array.isArray(entries) || entries.length === 0)
    throw new StartupError(`${from} must be an array of at least one key`)
  const lines: string[] = []
  const names = new Set<string>()
  const known = entries.flatMap((entry: unknown, index) => {
    const { name, sha256, scopes, ratePerSecond } = (
      typeof entry === 'object' && entry !== null ? entry : {}
    ) as Record<string, unknown>
    const fault = (text: string) =>
      lines.push(`${from}: key ${typeof name === 'string' ? `'${name}'` : index}: ${text}`)
    if (typeof name !== 'string' || !/^[A-Za-z0-9._-]{1,100}$/.test(name))
      fault("name is made of letters, digits, '.', '_', '-', at most 100")
    else if (names.has(name)) fault('the name is there twice; several hashes go into one key')
    else names.add(name)
    if (!isTexts(sha256) || !sha256.every((digest) => /^[0-9a-f]{64}$/i.test(digest)))
      fault('sha256 is a list of SHA-256 hashes of 64 hex digits')
    if (!isTexts(scopes)) fault('scopes is a list of scopes')
    if (ratePerSecond !== undefined && !(typeof ratePerSecond === 'number' && ratePerSecond > 0))
      fault('ratePerSecond is a number above 0')
    if (!isTexts(sha256) || !isTexts(scopes)) return []
    const key = { ...apiKey(String(name), scopes, fault), ratePerSecond: ratePerSecond as number | undefined }
    return sha256.map((digest) => ({ digest: Buffer.from(digest, 'hex'), key }))
  })
  if (lines.length > 0) throw new StartupError(lines.join('\n'))
  return known
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string')
}

function apiKey(name: string, scopes: string[], fault: (text: string) => void): ApiKey {
  const grants = scopes.flatMap((scope) => {
    const [, action, pattern] = /^(publish|observe|read|admin)(?::(.+))?$/s.exec(scope) ?? []
    if (action === undefined || (action === 'observe' && pattern !== undefined)) {
      fault(`'${scope}' is not a scope: publish[:pattern], observe, read[:pattern] or admin[:pattern]`)
      return []
    }
    return [{ action: action as Action, matches: pattern === undefined ? undefined : regexpFromPattern(pattern) }]
  })
  const may = (action: Action, stream?: string) =>
    grants.some(
      (grant) =>
        includes[action].includes(grant.action) &&
        (stream === undefined || grant.matches === undefined || grant.matches.test(stream))
    )
  return { name, may }
}

function regexpFromPattern(pattern: string): RegExp {
  const literal = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${literal.join('.*')}$`, 's')
}
