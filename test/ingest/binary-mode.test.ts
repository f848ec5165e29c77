import t from 'tap'
import { decodeEvents } from '../../src/ingest/cloudevents.ts'
import type { Draft } from '../../src/ingest/draft.ts'
import type { Fault } from '../../src/ingest/faults.ts'
import { decodeHeaderValue } from '../../src/ingest/headers.ts'
import type { Headers } from '../../src/ingest/media-type.ts'

const mandatory = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' }

function draft(headers: Headers, body: string | Buffer = ''): Draft {
  const decoded = decodeEvents('binary', { ...mandatory, ...headers }, Buffer.from(body))
  if (!decoded.ok || !decoded.single) throw new Error(JSON.stringify(decoded))
  return decoded.drafts[0] as Draft
}

function faults(headers: Headers, body: string | Buffer = ''): Fault[] {
  const decoded = decodeEvents('binary', { ...mandatory, ...headers }, Buffer.from(body))
  return decoded.ok ? [] : decoded.faults
}

const pointers = (headers: Headers) => faults(headers).map(({ pointer }) => pointer)

t.test('quoted parts are unquoted, then one round of percent-decoding', async (t) => {
  const values = [
    ['simple', 'simple'],
    ['Euro%20%E2%82%AC%20%F0%9F%98%80', 'Euro € 😀'],
    ['Euro%20%e2%82%ac%20%f0%9F%98%80', 'Euro € 😀'],
    ['percent%25encoded', 'percent%encoded'],
    ['a%2520b', 'a%20b'],
    ['quote%22encoded', 'quote"encoded'],
    ['lenient decoding %30%31', 'lenient decoding 01'],
    ['"  quoted  text  "unquoted', '  quoted  text  unquoted'],
    ['"escaped quote\\"end"', 'escaped quote"end'],
    ['"escaped backslash\\\\end"', 'escaped backslash\\end'],
    ['non-escaping backslash\\end', 'non-escaping backslash\\end'],
    ['"quoted %2"5', 'quoted %'],
    ['""', ''],
    [Buffer.from('raw €').toString('latin1'), 'raw €']
  ] as const
  for (const [sent, value] of values) t.same(decodeHeaderValue(sent), { ok: true, value }, sent)
})

t.test('a header value that cannot be decoded is refused', async (t) => {
  const values = [
    'unterminated percent %',
    'unterminated percent %0',
    'non hex percent %g0',
    'non hex percent %0g',
    'non hex percent %0$',
    'low surrogate %ED%B0%80',
    'high surrogate %ED%A0%80',
    'surrogate pair via two UTF-16 %ED%A0%80%ED%B0%80',
    'overlong UTF-8 %C0%A0',
    'incomplete end UTF-8 %E2',
    'incomplete end UTF-8 %E2%',
    'incomplete non-percent UTF-8 %E2x',
    'invalid UTF-8 first byte %82',
    'invalid UTF-8 second byte %E2%E2',
    'raw Latin-1 caf\u00e9',
    'not from a socket €',
    '"unterminated quote',
    '"unterminated escape \\"',
    '"a" "b'
  ]
  for (const value of values) {
    t.equal(decodeHeaderValue(value).ok, false, value)
    t.strictSame(pointers({ 'ce-subject': value }), ['/subject'])
  }
})

t.test('a long run of quotes and backslashes costs no more than its length', async (t) => {
  t.equal(decodeHeaderValue('"\\'.repeat(1_000_001)).ok, false)
})

t.test('the mandatory headers have to be there once each', async (t) => {
  const decoded = decodeEvents('binary', { 'ce-id': '1' }, Buffer.alloc(0))
  t.strictSame(decoded.ok ? [] : decoded.faults.map(({ pointer }) => pointer), ['/specversion', '/source', '/type'])
  t.strictSame(pointers({ 'ce-id': ['1', '2'] }), ['/id'])
  t.strictSame(pointers({ 'ce-id': ['1'] }), [])
  t.strictSame(pointers({ 'CE-ID': '2' }), ['/id'])
  t.strictSame(pointers({ 'ce-specversion': '0.3' }), ['/specversion'])
  for (const name of ['id', 'source', 'type', 'specversion', 'subject', 'time', 'dataschema'])
    t.strictSame(pointers({ [`ce-${name}`]: '' }), [`/${name}`], name)
})

t.test('attributes obey the same rules as in JSON', async (t) => {
  t.strictSame(pointers({ 'ce-time': 'lunchtime', 'ce-dataschema': 'x', 'ce-source': 'a%20b' }).sort(), [
    '/dataschema',
    '/source',
    '/time'
  ])
  t.strictSame(pointers({ 'ce-subject': 'line1%0D%0Aline2' }), ['/subject'])
  t.strictSame(pointers({ 'ce-ext': '%EF%BF%BE' }), ['/ext'])
})

t.test('extension names are a-z and 0-9, and datacontenttype is the Content-Type', async (t) => {
  t.strictSame(draft({ 'CE-Ext1': 'a%20b', 'ce-bool': 'true', 'ce-empty': '' }).extensions, {
    ext1: 'a b',
    bool: 'true',
    empty: ''
  })
  for (const name of ['', 'my-ext', 'my_ext', 'my.ext', 'data', 'data_base64', '__proto__'])
    t.equal(faults({ [`ce-${name}`]: 'x' }).length, 1, name)
  t.strictSame(pointers({ 'ce-datacontenttype': 'text/plain' }), ['/datacontenttype'])
  t.strictSame(pointers({ 'content-type': 'nonsense' }), ['/datacontenttype'])
})

t.test('a JSON body stays text as it is', async (t) => {
  for (const type of ['application/json', 'Application/JSON; charset=utf-8', 'text/json', 'application/vnd.x+json']) {
    t.match(draft({ 'content-type': type }, ' {"a": 1}\n'), {
      datacontenttype: type,
      data: ' {"a": 1}\n',
      value: { a: 1 }
    })
  }
  t.match(faults({ 'content-type': 'application/json' }, '{"a":'), [{ code: 'malformed-json', pointer: '' }])
  t.match(faults({ 'content-type': 'application/json' }, Buffer.from([0x22, 0xff, 0x22])), [{ code: 'malformed-json' }])
})

t.test('any other body is kept as bytes, and an empty one is no data', async (t) => {
  const bytes = Buffer.from([0, 0xff, 0x7b])
  t.match(draft({ 'content-type': 'image/png' }, bytes), { data_base64: bytes.toString('base64'), data: undefined })
  t.match(draft({}, '{}'), { data_base64: 'e30=', datacontenttype: undefined })
  t.match(draft({ 'content-type': 'application/json' }), {
    data: undefined,
    data_base64: undefined,
    datacontenttype: 'application/json'
  })
})
