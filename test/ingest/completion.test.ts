import t from 'tap'
import { decodeEvents } from '../../src/ingest/cloudevents.ts'
import { completeEvent, repeatedIds } from '../../src/ingest/completion.ts'
import type { Draft } from '../../src/ingest/draft.ts'
import { eventFromFields, fieldsFromEvent } from '../../src/streams/entry.ts'

const defaults = { source: '/gateway', now: '2026-11-21T10:00:00.000Z' }

function drafts(...events: object[]): Draft[] {
  const decoded = decodeEvents('json', {}, Buffer.from(JSON.stringify(events)))
  if (!decoded.ok) throw new Error(JSON.stringify(decoded.faults))
  return decoded.drafts
}

t.test('what the client left out is filled in', async (t) => {
  const [draft] = drafts({ type: 't', data: 1 }) as [Draft]
  const event = completeEvent(draft, defaults)
  t.match(event, { source: '/gateway', time: defaults.now, type: 't', data: '1' })
  t.match(event.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4/)
  t.not(completeEvent(draft, defaults).id, event.id)
  t.equal(draft.id, undefined)
})

t.test('what the client sent is stored as it is', async (t) => {
  const sent = {
    id: '1',
    source: '/s',
    type: 't',
    time: '2018-04-05T17:31:00+01:00',
    subject: 's',
    datacontenttype: 'text/plain',
    dataschema: 'urn:x',
    data: 'x',
    ext: 5
  }
  const [draft] = drafts(sent) as [Draft]
  const { ext, ...core } = sent
  t.same(eventFromFields(fieldsFromEvent(completeEvent(draft, defaults))), {
    ...core,
    data: '"x"',
    extensions: { ext: String(ext) }
  })
})

t.test('one id twice with equal content is a duplicate, with other content a fault', async (t) => {
  const first = { type: 't', id: '1', source: '/s', subject: 'x', data: { a: 1 } }
  t.strictSame(repeatedIds(drafts(first, first, { ...first, time: '2018-04-05T17:31:00Z' })), [])
  t.strictSame(
    repeatedIds(drafts(first, { ...first, source: '/other', data: 2 })),
    [],
    'another source is another event'
  )
  t.strictSame(
    repeatedIds(drafts({ type: 't', data: 1 }, { type: 't', data: 2 })),
    [],
    'without ids there is nothing to compare'
  )
  for (const change of [{ type: 'u' }, { subject: 'y' }, { subject: null }, { data: { a: 2 } }]) {
    t.match(repeatedIds(drafts({ type: 'u' }, first, { ...first, ...change })), [
      { pointer: '/2/id', code: 'key-reused' }
    ])
  }
  const bytes = { type: 't', id: '1', data_base64: 'TQ==' }
  t.match(repeatedIds(drafts(bytes, bytes, { ...bytes, data_base64: 'TR==' })), [{ pointer: '/2/id' }])
})
