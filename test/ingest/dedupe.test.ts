import t from 'tap'
import { decodeEvents } from '../../src/ingest/cloudevents.ts'
import { fingerprint, type Identity, parseIdempotencyKey, seenDigest } from '../../src/ingest/dedupe.ts'
import type { Draft } from '../../src/ingest/draft.ts'

t.test('a digest is short, stable and different for every identity', async (t) => {
  const identities: Identity[] = [
    ['key', 'a', 'b', 1],
    ['key', 'a', 'b', 11],
    ['key', 'a', 'b1', 1],
    ['key', 'a1:b', '', 1],
    ['key', 'a', '1:b', 1],
    ['event', 'a', 'b', '1'],
    ['event', 'ab', '', '1'],
    ['event', 'a', '', 'b1'],
    ['webhook', 'a', 'b'],
    ['webhook', 'ab', ''],
    ['webhook', '', 'ab'],
    ['publish', 's', 'g', '/s', '1', 't', 0],
    ['publish', 's', 'g', '/s', '1', 't0', ''],
    ['publish', 's', 'g', '/s', '1', '', 't0']
  ]
  const digests = identities.map((identity) => seenDigest(...identity))
  t.equal(new Set(digests).size, identities.length)
  for (const digest of digests) t.match(digest, /^[\w-]{22}$/)
  t.equal(seenDigest('event', 'a', 'b', '1'), seenDigest('event', 'a', 'b', '1'))
})

t.test('a fingerprint covers type, subject and the bytes of data, and nothing that is filled in', async (t) => {
  const print = (body: string) => {
    const decoded = decodeEvents('json', {}, Buffer.from(body))
    return decoded.ok ? fingerprint(decoded.drafts[0] as Draft) : t.fail(body)
  }
  const first = print('{"type":"t","subject":"s","data":{"a":1}}')
  t.equal(
    print('{"data":{"a":1},"id":"1","source":"/x","time":"2018-04-05T17:31:00Z","subject":"s","type":"t"}'),
    first
  )
  for (const body of [
    '{"type":"u","subject":"s","data":{"a":1}}',
    '{"type":"t","data":{"a":1}}',
    '{"type":"t","subject":"s","data":{"a": 1}}',
    '{"type":"t","subject":"s"}'
  ])
    t.not(print(body), first, body)
  t.not(print('{"type":"t","data":"TQ=="}'), print('{"type":"t","data_base64":"TQ=="}'))
})

t.test('an Idempotency-Key is the same with and without quotes', async (t) => {
  t.same(parseIdempotencyKey(undefined), { ok: true, key: undefined })
  t.same(parseIdempotencyKey('8e03978e-40d5'), { ok: true, key: '8e03978e-40d5' })
  t.same(parseIdempotencyKey('"8e03978e-40d5"'), { ok: true, key: '8e03978e-40d5' })
  t.same(parseIdempotencyKey(['"x"']), { ok: true, key: 'x' })
  t.same(parseIdempotencyKey('"a\\"b\\\\c"'), { ok: true, key: 'a"b\\c' })
  t.same(parseIdempotencyKey('k'.repeat(255)), { ok: true, key: 'k'.repeat(255) })
})

t.test('any other Idempotency-Key is refused', async (t) => {
  for (const sent of [
    '',
    '""',
    ' ',
    'a b',
    '"a b"',
    '"a',
    '"',
    '"a"b',
    '"a";p=1',
    '"a\\x"',
    'a, b',
    '"a", "b"',
    'é',
    'a\tb',
    'k'.repeat(256),
    ['a', 'b'],
    []
  ])
    t.match(
      parseIdempotencyKey(sent),
      { ok: false, faults: [{ code: 'invalid-idempotency-key' }] },
      JSON.stringify(sent)
    )
})
