import { readFileSync } from 'node:fs'
import t from 'tap'
import { isJsonType } from '../../src/ingest/media-type.ts'
import { defineTopology } from '../../src/topology.ts'
import { as, testApp } from '../fixtures/app.ts'
import { portOf, post } from '../fixtures/http.ts'

interface Data {
  kind: 'json' | 'text' | 'binary' | 'absent'
  value?: unknown
  base64?: string
  length?: number
}

interface Vector {
  id: string
  title: string
  request: {
    headers: Record<string, string | string[]>
    body: { encoding: string; value: string; prefix: string; unit: string; count: number; suffix: string }
  }
  expected: {
    outcome: 'accept' | 'reject'
    statusIn: number[]
    events?: { attributes: Record<string, string>; data: Data }[]
  }
}

const file = new URL('../fixtures/vectors/cloudevents.json', import.meta.url)
const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: Vector[] }

const topology = defineTopology({ streams: { 'inbox:event:any': {} }, unknownTypes: { stream: 'inbox:event:any' } })
// Many cases have the same id: each has an API key of its own, so that it is no duplicate.
const keys = Array.from({ length: 200 }, (_, i) => ({ name: `case-${i}`, scopes: ['publish'] }))
let used = 0
function nextKey() {
  used += 1
  return as(`case-${used}`)
}

const { app, redis, prefix } = await testApp(t, { topology, keys })
const port = await portOf(app)
const key = `${prefix}inbox:event:any`

/** The events stored since the last look, as attribute maps. */
async function newEvents(): Promise<Record<string, string>[]> {
  const entries = await redis.xrange(key, '-', '+')
  await redis.xtrim(key, 'MAXLEN', 0)
  return entries.map(([, fields]) =>
    Object.fromEntries(fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1] ?? '']] : [])))
  )
}

function bodyOf({ encoding, value, prefix, unit, count, suffix }: Vector['request']['body']): Buffer {
  return encoding === 'repeat'
    ? Buffer.from(prefix + unit.repeat(count) + suffix)
    : Buffer.from(value, encoding as BufferEncoding)
}

function dataOf({ data, data_base64, datacontenttype }: Record<string, string>, expected: Data): Data {
  if (data !== undefined) {
    const value = JSON.parse(data)
    if (expected.length !== undefined) return { kind: 'json', length: value.length }
    return { kind: datacontenttype === undefined || isJsonType(datacontenttype) ? 'json' : 'text', value }
  }
  if (data_base64 === undefined) return { kind: 'absent' }
  if (expected.kind === 'text') return { kind: 'text', value: Buffer.from(data_base64, 'base64').toString() }
  return { kind: 'binary', base64: data_base64 }
}

for (const { id, title, request, expected } of cases) {
  t.test(`${id}: ${title}`, async (t) => {
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name.toLowerCase(), value])
    )
    const answer = await post(port, bodyOf(request.body), { 'content-type': [], ...headers, ...nextKey() })
    t.ok(expected.statusIn.includes(answer.status), `${answer.status} ${JSON.stringify(answer.body)}`)
    const stored = await newEvents()
    if (expected.outcome === 'reject') {
      t.match(answer.headers['content-type'], /^application\/problem\+json/)
      t.same(stored, [], 'nothing is stored')
      return
    }
    const events = expected.events ?? []
    t.equal(stored.length, events.length)
    events.forEach(({ attributes: { specversion, ...attributes }, data }, i) => {
      const { data: _, data_base64: __, ...found } = stored[i] ?? {}
      // What the client may leave out is filled in.
      if (attributes.time === undefined) delete found.time
      t.equal(specversion, '1.0')
      t.same(found, attributes)
      t.same(dataOf(stored[i] ?? {}, data), data)
    })
  })
}

const binary = {
  'ce-specversion': '1.0',
  'ce-id': 'b1',
  'ce-source': '/s',
  'ce-type': 't',
  'content-type': [] as string[]
}
const whole = { specversion: '1.0', id: 'i1', source: '/s', type: 't' }
const structured = 'application/cloudevents+json'
const batched = 'application/cloudevents-batch+json'
const json = (value: unknown) => JSON.stringify(value)

type Spec = [body: string | Buffer, headers: Record<string, string | string[]>, status: number, stored?: object]

const specs: Record<string, Spec> = {
  'the media type is compared without case, and its parameters are ignored': [
    json(whole),
    { 'content-type': 'Application/CloudEvents+JSON;charset=UTF-8;x=y' },
    202,
    { id: 'i1' }
  ],
  'the batch type is not taken for the structured one': [json([whole]), { 'content-type': batched }, 202, { id: 'i1' }],
  'an array is no structured event': [json([whole]), { 'content-type': structured }, 400],
  'an object is no batch': [json(whole), { 'content-type': batched }, 400],
  'the XML format is not understood': ['<event/>', { 'content-type': 'application/cloudevents+xml' }, 415],
  'the Avro format is not understood': ['x', { 'content-type': 'application/cloudevents+avro' }, 415],
  'the Protobuf format is not understood': ['x', { 'content-type': 'application/cloudevents-batch+protobuf' }, 415],
  'another version is refused': [json({ ...whole, specversion: '0.3' }), { 'content-type': structured }, 400],
  'null is absent, and absent is not allowed for an id': [
    json({ ...whole, id: null }),
    { 'content-type': structured },
    400
  ],
  'null is absent for what is optional': [
    json({ ...whole, subject: null, ext: null }),
    { 'content-type': structured },
    202,
    { subject: undefined, ext: undefined }
  ],
  'an extension name has no capital letter': [json({ ...whole, Ext: 'x' }), { 'content-type': structured }, 400],
  'an extension may be a Boolean or an integer': [
    json({ ...whole, yes: true, number: -17 }),
    { 'content-type': structured },
    202,
    { yes: 'true', number: '-17' }
  ],
  'an extension is no fraction': [json({ ...whole, ext: 1.5 }), { 'content-type': structured }, 400],
  'an integer has 32 bits': [json({ ...whole, ext: 2_147_483_648 }), { 'content-type': structured }, 400],
  'data and data_base64 exclude each other': [
    json({ ...whole, data: 1, data_base64: 'eA==' }),
    { 'content-type': structured },
    400
  ],
  'data may be null': [
    `${json(whole).slice(0, -1)},"data":null}`,
    { 'content-type': structured },
    202,
    { data: 'null' }
  ],
  'time has seconds and an offset': [
    json({ ...whole, time: '2026-01-01T00:00Z' }),
    { 'content-type': structured },
    400
  ],
  'source may be a relative reference': [
    json({ ...whole, source: '1-555-123-4567' }),
    { 'content-type': structured },
    202,
    { source: '1-555-123-4567' }
  ],
  'dataschema is absolute': [json({ ...whole, dataschema: '/schema' }), { 'content-type': structured }, 400],
  'a control character is no attribute text': [
    json({ ...whole, subject: 'a\u0007' }),
    { 'content-type': structured },
    400
  ],
  'half a surrogate pair is no attribute text': [
    `${json(whole).slice(0, -1)},"subject":"\\ud800"}`,
    { 'content-type': structured },
    400
  ],
  'a header value is percent-decoded once': [
    '',
    { ...binary, 'ce-subject': 'Euro%20%E2%82%AC%20%F0%9F%98%80%2520' },
    202,
    { subject: 'Euro € 😀%20' }
  ],
  'a header value may be quoted': ['', { ...binary, 'ce-subject': '"a\\"b%20c"' }, 202, { subject: 'a"b c' }],
  'an overlong encoding is not UTF-8': ['', { ...binary, 'ce-subject': '%C0%A0' }, 400],
  'an encoded surrogate is not UTF-8': ['', { ...binary, 'ce-subject': '%ED%A0%80' }, 400],
  'a header name has no case': ['', { ...binary, 'CE-Subject': 'x' }, 202, { subject: 'x' }],
  'a header that is sent twice is refused': ['', { ...binary, 'ce-ext': ['a', 'b'] }, 400],
  'Content-Type is datacontenttype in binary mode': [
    '{"a":1}',
    { ...binary, 'content-type': 'application/vnd.x+json' },
    202,
    { datacontenttype: 'application/vnd.x+json', data: '{"a":1}' }
  ],
  'a header ce-datacontenttype is refused': ['', { ...binary, 'ce-datacontenttype': 'text/plain' }, 400],
  'an event in binary mode may have no data': ['', binary, 202, { data: undefined, data_base64: undefined }],
  'bytes that are not JSON are kept as they are': [
    Buffer.from([0, 255, 128]),
    { ...binary, 'content-type': 'application/octet-stream' },
    202,
    { data_base64: 'AP+A' }
  ],
  'some of the required headers are not enough': ['', { 'ce-id': 'x', 'content-type': [] }, 400],
  'an empty batch is a batch': ['[]', { 'content-type': batched }, 202]
}

for (const [name, [body, headers, status, stored]] of Object.entries(specs)) {
  t.test(name, async (t) => {
    const answer = await post(port, body, { ...headers, ...nextKey() })
    t.equal(answer.status, status, JSON.stringify(answer.body))
    const [event, ...others] = await newEvents()
    t.equal(others.length, 0)
    if (stored === undefined) t.equal(event, undefined)
    else for (const [attribute, value] of Object.entries(stored)) t.equal(event?.[attribute], value, attribute)
  })
}
