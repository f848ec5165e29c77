import { createHash, timingSafeEqual } from 'node:crypto'
import { readJson, resolvePointer, textOf } from './json-pointer.ts'
import type { TokenPreset } from './preset-definition.ts'
import { type Refusal, readHeader, refuse, type WebhookRequest } from './request.ts'
import { keyFromSecret } from './secrets.ts'

// A body names its token once per item, and honest senders repeat one token.
const maxTokens = 32

const digest = (text: string) => createHash('sha256').update(text).digest()

/**
 * Why a request does not carry one of the secrets; undefined when it does.
 * Every token found must be one of them. Digests are compared, so that not even the secret's length shows.
 */
export function tokenRefusal(preset: TokenPreset, request: WebhookRequest): Refusal | undefined {
  const usable = request.secrets.filter((secret) => keyFromSecret(preset, secret) !== undefined)
  if (usable.length === 0) return refuse('no-usable-secret')
  const { token } = preset
  const given = token.json === undefined ? tokenSent(token, request) : tokensInBody(token.json, readJson(request.body))
  if ('reason' in given) return given
  if (given.size > maxTokens) return refuse('too-many-signatures')
  const expected = usable.map(digest)
  let wrong = 0
  for (const text of given) {
    const sent = digest(text)
    if (expected.filter((secret) => timingSafeEqual(secret, sent)).length === 0) wrong++
  }
  return wrong > 0 ? refuse('bad-signature') : undefined
}

function tokenSent(
  { headers, prefix = '', query }: TokenPreset['token'],
  request: WebhookRequest
): Set<string> | Refusal {
  const header = readHeader(request.headers, headers)
  if (header !== undefined) {
    if (typeof header !== 'string') return header
    return header.startsWith(prefix) ? new Set([header.slice(prefix.length)]) : refuse('malformed-header')
  }
  const [address] = (request.url ?? '').split('#', 1)
  const parameters = new URLSearchParams(address?.slice(address.indexOf('?') + 1 || address.length))
  const [value, ...others] = query === undefined ? [] : parameters.getAll(query)
  if (value === undefined) return refuse('missing-header')
  return others.length > 0 ? refuse('repeated-header') : new Set([value])
}

function tokensInBody({ items, field }: { items: string; field: string }, body: unknown): Set<string> | Refusal {
  const list = resolvePointer(body, items)
  if (!Array.isArray(list) || list.length === 0) return refuse('malformed-body')
  const texts = new Set(list.map((item) => textOf(resolvePointer(item, field))))
  return texts.has(undefined) ? refuse('malformed-body') : (texts as Set<string>)
}
