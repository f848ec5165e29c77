import t from 'tap'
import { decodeEvents } from '../../src/ingest/cloudevents.ts'
import type { Draft } from '../../src/ingest/draft.ts'
import type { Fault } from '../../src/ingest/faults.ts'
import type { Mode } from '../../src/ingest/media-type.ts'

function drafts(body: string, mode: Mode = 'json'): Draft[] {
  const decoded = decodeEvents(mode, {}, Buffer.from(body))
  if (!decoded.ok) throw new Error(JSON.stringify(decoded.faults))
  return decoded.drafts
}

function faults(body: string | Buffer, mode: Mode = 'json'): Fault[] {
  const decoded = decodeEvents(mode, {}, Buffer.from(body))
  return decoded.ok ? [] : decoded.faults
}

const pointers = (body: string, mode?: Mode) => faults(body, mode).map(({ pointer }) => pointer)
/** An event in the CloudEvents format with these members added. */
const complete = (members: string) => `{"specversion":"1.0","id":"1","source":"/s","type":"t"${members}}`

t.test('an event of our own form needs nothing but a type', async (t) => {
  const decoded = decodeEvents('json', {}, Buffer.from(' { "type" : "a.b" , "data" : { "x" : [ 1, 2 ] } } \r\n'))
  t.match(decoded, { ok: true, single: true })
  const [draft] = decoded.ok ? decoded.drafts : []
  t.equal(draft?.type, 'a.b')
  t.equal(draft?.id, undefined)
  t.equal(draft?.source, undefined)
  t.equal(draft?.data, '{ "x" : [ 1, 2 ] }')
  t.strictSame(draft?.value, { x: [1, 2] })
  t.strictSame(pointers('{"id":"1"}'), ['/type'])
  t.strictSame(pointers('{}'), ['/type'])
})

t.test('an array is many events, even of one or none', async (t) => {
  t.match(decodeEvents('json', {}, Buffer.from('[{"type":"a"}]')), { ok: true, single: false })
  t.match(decodeEvents('json', {}, Buffer.from('[ ]')), { ok: true, single: false, drafts: [] })
  t.match(decodeEvents('batched', {}, Buffer.from('[]')), { ok: true, single: false, drafts: [] })
  t.strictSame(
    drafts('[{"type":"a"},{"type":"b"}]').map(({ type, index, pointer }) => [type, index, pointer]),
    [
      ['a', 0, '/0'],
      ['b', 1, '/1']
    ]
  )
})

t.test('every fault of a batch is listed with its index', async (t) => {
  const body = '[{"type":"a"},7,{"id":""},{"type":"a","time":"now","subject":5,"Bad/Name~":1}]'
  t.strictSame(pointers(body), ['/1', '/2/id', '/2/type', '/3/time', '/3/subject', '/3/Bad~1Name~0'])
  t.ok(faults(body).every(({ code, detail }) => code === 'invalid-event' && detail.length > 0))
})

t.test('a hundred faults are listed and the rest is counted', async (t) => {
  const decoded = decodeEvents('json', {}, Buffer.from(`[${Array(250).fill('0')}]`))
  t.match(decoded, { ok: false, more: 150 })
  t.equal(decoded.ok ? 0 : decoded.faults.length, 100)
})

t.test('an array of more events than allowed is refused', async (t) => {
  const body = Buffer.from('[{"type":"a"},{"type":"a"},{"type":"a"}]')
  t.equal(decodeEvents('json', {}, body, 3).ok, true)
  t.match(decodeEvents('json', {}, body, 2), { ok: false, faults: [{ code: 'too-many-events', pointer: '' }] })
})

t.test('the shape of the body is the one the media type says', async (t) => {
  for (const mode of ['structured', 'ndjson'] as const)
    t.match(faults('[{"type":"a"}]', mode), [{ pointer: '', code: 'invalid-event' }])
  t.match(faults(complete(''), 'batched'), [{ pointer: '', code: 'invalid-event' }])
  for (const body of ['null', '1', '"x"', 'true']) t.match(faults(body), [{ pointer: '', code: 'invalid-event' }])
})

t.test('the CloudEvents format needs its four attributes', async (t) => {
  t.strictSame(pointers('{}', 'structured'), ['/specversion', '/id', '/source', '/type'])
  t.strictSame(pointers('{"id":null,"specversion":"1.0"}', 'structured').sort(), ['/id', '/source', '/type'])
  for (const version of ['0.3', '1.0.2', '1', '1.1'])
    t.strictSame(pointers(`{"type":"t","specversion":"${version}"}`), ['/specversion'])
})

t.test('null leaves an attribute out but is a value of data', async (t) => {
  const nulls =
    ',"subject":null,"time":null,"dataschema":null,"datacontenttype":null,"data_base64":null,"ext":null,"data":null'
  const [draft] = drafts(complete(nulls), 'structured')
  t.match(draft, {
    subject: undefined,
    time: undefined,
    dataschema: undefined,
    datacontenttype: undefined,
    data_base64: undefined
  })
  t.equal(draft?.extensions, undefined)
  t.equal(draft?.data, 'null')
  t.equal(draft?.value, null)
})

t.test('every JSON value is data as it was sent', async (t) => {
  for (const data of [
    'null',
    'false',
    '0',
    '""',
    '-0.0e+1',
    '[]',
    '{}',
    '1e400',
    '123456789012345678901234567890',
    '"\\u0041\\/"',
    '{"a":1,"a":2}',
    '"\\ud800"'
  ])
    t.equal(drafts(complete(`,"data": ${data} `), 'structured')[0]?.data, data)
})

t.test('__proto__ inside data is data, and as an attribute it is no name', async (t) => {
  const data = '{"__proto__":{"admin":true},"constructor":1}'
  t.equal(drafts(`{"type":"t","data":${data}}`)[0]?.data, data)
  t.strictSame(pointers('{"type":"t","__proto__":"x"}'), ['/__proto__'])
  t.equal(drafts('{"type":"t","constructor":"x"}')[0]?.extensions?.constructor, 'x')
  t.equal(({} as Record<string, unknown>).admin, undefined)
})

t.test('extensions keep their canonical string form', async (t) => {
  const members =
    ',"extinteger":10,"extnegative":-2147483648,"extzero":-0,"extboolean":true,"extfalse":false,"extstring":"Euro \\u20ac","extempty":"","1":"digit","a123456789012345678901234567890":"long"'
  t.strictSame(drafts(complete(members), 'structured')[0]?.extensions, {
    '1': 'digit',
    extinteger: '10',
    extnegative: '-2147483648',
    extzero: '0',
    extboolean: 'true',
    extfalse: 'false',
    extstring: 'Euro €',
    extempty: '',
    a123456789012345678901234567890: 'long'
  })
})

t.test('extension values are strings, Booleans and 32-bit integers only', async (t) => {
  for (const value of ['1.5', '1.0', '1e2', '2147483648', '-2147483649', '{}', '[]', '{"a":1}'])
    t.strictSame(pointers(complete(`,"ext":${value}`), 'structured'), ['/ext'], value)
  for (const name of ['Ext', 'e_x', 'e-x', 'e.x', 'é', '', ' e', 'dataBase64'])
    t.equal(pointers(complete(`,"${name}":"x"`), 'structured').length, 1, name)
})

t.test('attribute strings hold no controls, noncharacters or lone surrogates', async (t) => {
  for (const text of ['\\u0000', '\\n', '\\u007f', '\u0085', '\\ufffe', '\\ud800', '\\udc00x']) {
    t.strictSame(pointers(`{"type":"t","subject":"a${text}"}`), ['/subject'], text)
    t.strictSame(pointers(`{"type":"t","ext":"a${text}"}`), ['/ext'], text)
  }
  t.equal(drafts('{"type":"t","subject":"\\ud83d\\ude00 €"}')[0]?.subject, '😀 €')
})

t.test('a member that is there twice is refused, however its name is spelled', async (t) => {
  t.strictSame(pointers('{"type":"t","data":1,"data":2}'), ['/data'])
  t.strictSame(pointers('{"type":"t","id":null,"id":"2"}'), ['/id'])
  t.strictSame(pointers('{"type":"t","id":"1","\\u0069d":"2"}'), ['/id'])
  t.strictSame(pointers('{"type":"t","ext":"1","ext":"2"}'), ['/ext'])
  t.strictSame(pointers('{"type":"t","ext":null,"ext":"2"}'), ['/ext'])
  t.equal(drafts('[{"type":"t","ext":null},{"type":"t","ext":"2"}]').length, 2)
})

t.test('data and data_base64 exclude each other', async (t) => {
  t.strictSame(pointers('{"type":"t","data":1,"data_base64":"TQ=="}'), ['/data_base64'])
  t.equal(drafts('{"type":"t","data_base64":"T\\u0051=="}')[0]?.data_base64, 'TQ==')
  for (const value of ['"TQ="', '"T Q="', '5', '{}'])
    t.strictSame(pointers(`{"type":"t","data_base64":${value}}`), ['/data_base64'], value)
})

t.test('a body that is not JSON is one fault', async (t) => {
  const bodies = [
    '',
    ' ',
    '{',
    '[',
    '{"type"}',
    '{"type":"t",}',
    '{"type":"t"}}',
    '[{"type":"t"},]',
    '{"type":"t" "id":"1"}',
    "{'type':'t'}",
    '{"type":"t","data":{]}',
    '{"type":"t","data":}',
    '{"type":"t","data":01}',
    '{"type":"t","id":nul}',
    '{"type":"t","subject":"\n"}',
    '{"type":"\\x"}',
    '{type:"t"}',
    '\ufeff{"type":"t"}',
    '{"type":"t"}x',
    '[{"type":"t"}',
    '{"type":"t","data":"\t"}'
  ]
  for (const body of bodies) {
    const found = faults(body)
    t.match(found, [{ code: 'malformed-json', pointer: '' }], JSON.stringify(body))
    t.equal(found.length, 1)
  }
  t.match(faults(Buffer.from([0x7b, 0xff, 0x7d])), [{ code: 'malformed-json' }])
  t.match(faults(Buffer.from('{"type":"caf\u00e9"}', 'latin1')), [{ code: 'malformed-json' }])
})

t.test('deep nesting neither overflows the stack nor crashes', async (t) => {
  const deep = '['.repeat(500_000) + ']'.repeat(500_000)
  t.equal(drafts(`{"type":"t","data":${deep}}`)[0]?.data?.length, 1_000_000)
  t.match(faults(`{"type":"t","data":${'{"a":'.repeat(200_000)}`), [{ code: 'malformed-json' }])
  t.match(faults('['.repeat(1_000_000)), [{ code: 'malformed-json' }])
  t.strictSame(pointers(`{"type":"t","ext":${deep}}`), ['/ext'])
})
