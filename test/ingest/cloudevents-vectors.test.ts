import { readFileSync } from 'node:fs'
import t from 'tap'
import { decodeEvents } from '../../src/ingest/cloudevents.ts'
import type { Draft } from '../../src/ingest/draft.ts'
import { isJsonType, modeOf } from '../../src/ingest/media-type.ts'

type VectorBody =
  | { encoding: 'utf8' | 'base64'; value: string }
  | { encoding: 'repeat'; prefix: string; unit: string; count: number; suffix: string }

interface StoredEvent {
  attributes: Record<string, string>
  data: { kind: 'json' | 'text' | 'binary' | 'absent'; value?: unknown; base64?: string; length?: number }
}

interface Vector {
  id: string
  title: string
  request: { headers: Record<string, string | string[]>; body: VectorBody }
  expected: { outcome: 'accept' | 'reject'; mode?: string; events?: StoredEvent[] }
}

const file = new URL('../fixtures/vectors/cloudevents.json', import.meta.url)
const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: Vector[] }

function bytesOf(body: VectorBody): Buffer {
  if (body.encoding === 'repeat') return Buffer.from(body.prefix + body.unit.repeat(body.count) + body.suffix)
  return Buffer.from(body.value, body.encoding)
}

function attributesOf(draft: Draft): Record<string, string> {
  const { data, data_base64, extensions, value, index, pointer, ...core } = draft
  return JSON.parse(JSON.stringify({ ...core, ...extensions }))
}

/** The data in the terms of the vectors: text is what a media type that is not JSON carries as a string or as bytes. */
function dataOf(draft: Draft, expected: StoredEvent['data']): unknown {
  if (draft.data === undefined && draft.data_base64 === undefined) return { kind: 'absent' }
  if (draft.data !== undefined) {
    const value = JSON.parse(draft.data)
    if (expected.length !== undefined) return { kind: 'json', length: value.length }
    const isJson = draft.datacontenttype === undefined || isJsonType(draft.datacontenttype)
    return { kind: isJson ? 'json' : 'text', value }
  }
  if (expected.kind === 'text')
    return { kind: 'text', value: Buffer.from(draft.data_base64 ?? '', 'base64').toString() }
  return { kind: 'binary', base64: draft.data_base64 }
}

t.ok(cases.length > 40, 'the vectors are there')

for (const { id, title, request, expected } of cases) {
  t.test(`${id}: ${title}`, async (t) => {
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name.toLowerCase(), value])
    )
    const contentType = headers['content-type']
    const mode = modeOf(Array.isArray(contentType) ? contentType[0] : contentType, headers)
    const decoded = decodeEvents(mode, headers, bytesOf(request.body))
    if (expected.outcome === 'reject') {
      t.equal(decoded.ok, false, 'is refused')
      return
    }
    t.equal(mode, expected.mode, 'has the expected mode')
    if (!decoded.ok) return t.fail(JSON.stringify(decoded.faults))
    const events = expected.events ?? []
    t.equal(decoded.drafts.length, events.length)
    for (const [i, event] of events.entries()) {
      const draft = decoded.drafts[i] as Draft
      t.strictSame(attributesOf(draft), event.attributes, 'has exactly these attributes')
      t.strictSame(dataOf(draft, event.data), event.data, 'has exactly this data')
    }
  })
}
