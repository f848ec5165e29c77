/** A small delivery as a sender might make it, for trying a source without its vendor. Pure. */
import type { Lookup, PresetDefinition } from './preset-definition.ts'
import { timestampText } from './timestamp.ts'

export interface Sample {
  body: Buffer
  contentType: string
}

export interface SampleOptions {
  id: string
  type: string
  /** Milliseconds since the epoch. */
  now: number
  /** For senders that repeat the secret inside the body. */
  secret: string
}

/** Everything that the preset reads from a body is in this one, at the place where it is read first. */
export function sampleDelivery(preset: PresetDefinition, { id, type, now, secret }: SampleOptions): Sample {
  if (preset.kind !== 'token' && preset.signed === '{twilio}') {
    const form = new URLSearchParams({ MessageSid: id, From: '+15005550006', Body: 'A sample from Headgate' })
    return { body: Buffer.from(form.toString()), contentType: 'application/x-www-form-urlencoded' }
  }
  const values: [string, unknown][] = []
  const add = (where: Lookup | undefined, value: unknown) => {
    if (where?.json?.[0] !== undefined && where.headers === undefined) values.push([where.json[0], value])
  }
  add(preset.id, id)
  add(preset.eventType, type)
  add(preset.subject, 'sample')
  if (preset.kind !== 'token' && preset.timestamp?.json !== undefined) {
    const { json, unit } = preset.timestamp
    const text = timestampText(now, unit)
    values.push([json, unit === 'rfc3339' ? text : Number(text)])
  }
  if (preset.kind === 'token' && preset.token.json !== undefined) {
    const { items, field } = preset.token.json
    values.push([`${items}/0${field}`, secret])
  }
  return { body: Buffer.from(JSON.stringify(documentOf(values))), contentType: 'application/json' }
}

type Node = Record<string, unknown>

/** The smallest JSON document in which each pointer leads to its value; a number in a pointer makes a list. */
function documentOf(values: readonly [string, unknown][]): Node {
  const isList = values.some(([pointer]) => pointer.startsWith('/0'))
  const document: Node = container(isList)
  if (!isList) document.note = 'A sample from Headgate'
  for (const [pointer, value] of values) {
    const tokens = pointer
      .split('/')
      .slice(1)
      .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
    let node = document
    tokens.forEach((token, index) => {
      const next = tokens[index + 1]
      node[token] ??= next === undefined ? value : container(next === '0')
      node = node[token] as Node
    })
  }
  return document
}

const container = (isList: boolean): Node => (isList ? [] : {}) as unknown as Node
