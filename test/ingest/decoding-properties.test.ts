import fc from 'fast-check'
import t from 'tap'
import { decodeEvents } from '../../src/ingest/cloudevents.ts'
import type { Mode } from '../../src/ingest/media-type.ts'

const modes: Mode[] = ['json', 'structured', 'batched', 'binary', 'ndjson', 'unsupported']
const space = fc.stringMatching(/^[ \t\r\n]{0,3}$/)

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Changes a text in one place, so that it is nearly JSON. */
const damaged = (text: fc.Arbitrary<string>) =>
  fc
    .tuple(
      text,
      fc.nat(),
      fc.nat(2),
      fc.constantFrom('"', '\\', '{', '}', '[', ']', ',', ':', '0', '-', 'e', ' ', '\n', 'u', 'é')
    )
    .map(([whole, place, removed, inserted]) => {
      const at = place % (whole.length + 1)
      return whole.slice(0, at) + inserted + whole.slice(at + removed)
    })

t.test('any JSON value as data comes back byte for byte', async () => {
  const text = fc
    .tuple(fc.json({ maxDepth: 6 }), fc.constantFrom(0, 1, 2))
    .map(([json, indent]) => JSON.stringify(JSON.parse(json), null, indent))
  fc.assert(
    fc.property(fc.array(fc.tuple(text, space), { maxLength: 5 }), (values) => {
      const events = values.map(([data, gap]) => `${gap}{"data"${gap}:${gap}${data}${gap},"type":"t"${gap}}${gap}`)
      const decoded = decodeEvents('json', {}, Buffer.from(`[${events}]`))
      return (
        decoded.ok &&
        decoded.drafts.length === values.length &&
        values.every(([data], i) => decoded.drafts[i]?.data === data)
      )
    }),
    { numRuns: 2_000 }
  )
})

t.test('any string survives as an extension or is refused, never changed', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (value) => {
      const decoded = decodeEvents('json', {}, Buffer.from(JSON.stringify({ type: 't', ext: value })))
      return decoded.ok ? decoded.drafts[0]?.extensions?.ext === value : decoded.faults[0]?.pointer === '/ext'
    }),
    { numRuns: 2_000 }
  )
})

t.test('a body is malformed exactly when JSON.parse says so', async () => {
  const event = fc.record(
    { type: fc.string(), id: fc.jsonValue(), data: fc.jsonValue(), ext: fc.jsonValue(), subject: fc.string() },
    { requiredKeys: [] }
  )
  const body = fc.oneof(fc.array(event), event, fc.jsonValue()).map((value) => JSON.stringify(value))
  fc.assert(
    fc.property(
      fc.oneof(body, damaged(body), damaged(damaged(body))),
      fc.constantFrom<Mode>('json', 'structured', 'batched', 'ndjson'),
      (text, mode) => {
        const decoded = decodeEvents(mode, {}, Buffer.from(text))
        return isJson(text) !== (!decoded.ok && decoded.faults[0]?.code === 'malformed-json')
      }
    ),
    { numRuns: 10_000 }
  )
})

t.test('any bytes in any mode give events or faults and never throw', async () => {
  const headers = fc.dictionary(
    fc.oneof(
      fc.constantFrom('ce-id', 'ce-type', 'ce-source', 'ce-specversion', 'content-type'),
      fc.string().map((name) => `ce-${name}`)
    ),
    fc.oneof(fc.string({ unit: 'binary' }), fc.array(fc.string()))
  )
  const body = fc.oneof(
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.string({ unit: 'binary' }).map((text) => Buffer.from(text))
  )
  fc.assert(
    fc.property(fc.constantFrom(...modes), headers, body, (mode, headers, body) => {
      const decoded = decodeEvents(mode, headers, body)
      return decoded.ok || decoded.faults.length > 0
    }),
    { numRuns: 5_000 }
  )
})
