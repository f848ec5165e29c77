import t from 'tap'
import { attributeFault, isAttributeText, isBase64, isTimestamp, isUriReference } from '../../src/ingest/attributes.ts'

t.test('a time is RFC 3339 with seconds and a full offset', async (t) => {
  const times = [
    '2018-04-05T17:31:00Z',
    '2018-04-05t17:31:00z',
    '2018-04-05T17:31:00.000000000Z',
    '2018-04-05T18:31:00+01:00',
    '2018-04-05T18:31:00-00:00',
    '2024-02-29T00:00:00Z',
    '2000-02-29T00:00:00Z',
    '0000-01-01T00:00:00Z',
    '2016-12-31T23:59:60Z',
    '2016-12-31T15:59:60-08:00'
  ]
  for (const time of times) t.equal(isTimestamp(time), true, time)
  const others = [
    '',
    'lunchtime',
    '2018-04-05',
    '2018-04-05T18:31Z',
    '2018-04-05T18:31:00',
    '2018-04-05 18:31:00Z',
    '2018-04-05T18:31:00X',
    '2018-04-05T18:31:00+25:00',
    '2018-04-05T18:31:00+01:60',
    '2018-04-05T18:31:00+xx:00',
    '2018-04-05T18:31:00+05',
    '2018-04-05T18:31:00+0500',
    '2018-04-05T18:31:00.Z',
    '2018-04-05T18:31:00,5Z',
    '2018-04-05T18:31:00Z ',
    ' 2018-04-05T18:31:00Z',
    '2018-13-05T18:31:00Z',
    '2018-00-05T18:31:00Z',
    '2018-04-31T18:31:00Z',
    '2018-04-00T18:31:00Z',
    '2018-02-29T18:31:00Z',
    '1900-02-29T18:31:00Z',
    '2018-04-05T24:00:00Z',
    '2018-04-05T18:60:00Z',
    '2018-04-05T18:31:61Z',
    '2018-04-05T18:31:60Z',
    '+018-04-05T18:31:00Z',
    '20180405T183100Z'
  ]
  for (const time of others) t.equal(isTimestamp(time), false, time)
})

t.test('a source is a URI-reference', async (t) => {
  const references = [
    '/x',
    '#frag',
    '?q=1',
    'urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66',
    '1-555-123-4567',
    'https://github.com/cloudevents/spec/pull/123',
    'mailto:cncf-wg-serverless@lists.cncf.io',
    '//github.com/a',
    'http://[2001:db8::1]:8080/x?y=z',
    'http://user:pass@host:80/',
    '/a%20b',
    '/cloudevents/spec/pull/123?a=b&c=d#e/f?g',
    './a:b',
    'cloudevents-io'
  ]
  for (const reference of references) t.equal(isUriReference(reference), true, reference)
  const others = [
    'a b',
    '/%g0',
    '/%2',
    '<x>',
    '"x"',
    'a|b',
    'a\\b',
    '^',
    '`',
    '{x}',
    '#a#b',
    '1a:b',
    ':x',
    '/[x]',
    '//[zz',
    '//host:80x',
    'é'
  ]
  for (const reference of others) t.equal(isUriReference(reference), false, reference)
})

t.test('a dataschema is an absolute URI', async (t) => {
  t.equal(attributeFault('dataschema', 'https://cloudevents.io/dataschema'), undefined)
  t.equal(attributeFault('dataschema', 'urn:x:y'), undefined)
  for (const other of ['', '/dataschema', '#x', 'dataschema', 'http://a b'])
    t.ok(attributeFault('dataschema', other), other)
})

t.test('a datacontenttype is a media type with parameters', async (t) => {
  for (const type of [
    'text/plain',
    'application/json;charset=utf-8',
    'a/b; c="d;e\\"f" ; g=h',
    'application/vnd.x+json',
    'text/xml;'
  ])
    t.equal(attributeFault('datacontenttype', type), undefined, type)
  for (const other of ['', 'xyz', 'a/', '/b', 'a/b c', 'a/b; c', 'a /b', 'a/b; c="d', `a/b${'; '.repeat(50_000)}x`])
    t.ok(attributeFault('datacontenttype', other), other.slice(0, 40))
})

t.test('attribute text has no controls, noncharacters or halves of surrogate pairs', async (t) => {
  for (const text of ['', 'a b', 'Euro € 😀', 'é\u00a0']) t.equal(isAttributeText(text), true)
  for (const text of [
    '\u0000',
    'a\nb',
    '\u007f',
    '\u0085',
    '\ufdd0',
    '\ufffe',
    '\u{1ffff}',
    '\ud800',
    'a\udc00b',
    '\udc00\ud800'
  ])
    t.equal(isAttributeText(text), false, JSON.stringify(text))
})

t.test('Base64 is the standard alphabet with padding', async (t) => {
  for (const text of ['', 'TWE=', 'TQ==', 'TWFu', '+/+/']) t.equal(isBase64(text), true, text)
  for (const text of ['T', 'TWE', 'TWE-', 'TW_u', 'TW u', 'T===', '====', 'TQ==TQ==', 'TWFu\n', 'é==='])
    t.equal(isBase64(text), false, text)
})
