import t from 'tap'
import Type from 'typebox'
import { createCatalog } from '../../src/ingest/catalog.ts'
import { decodeEvents } from '../../src/ingest/cloudevents.ts'
import type { Draft } from '../../src/ingest/draft.ts'
import { defineTopology } from '../../src/topology.ts'
import type { TopologyOptions } from '../../src/topology-options.ts'

const Order = Type.Object({
  orderId: Type.String({ minLength: 1 }),
  amount: Type.Number({ minimum: 0 }),
  currency: Type.Optional(Type.Union([Type.Literal('EUR'), Type.Literal('USD')])),
  items: Type.Optional(Type.Array(Type.Object({ sku: Type.String(), 'a/b': Type.Optional(Type.Integer()) })))
})
const Strict = Type.Object({ a: Type.Integer() }, { additionalProperties: false })
const Many = Type.Object(Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`p${i}`, Type.String()])))
const streams: TopologyOptions['streams'] = {
  'orders:order:created': { events: { 'orders.order.created': Order } },
  'tests:test:all': { events: { strict: Strict, many: Many, anything: Type.Unknown() } },
  'inbox:event:any': {}
}
const catalog = createCatalog(defineTopology({ streams }))

function drafts(body: unknown): Draft[] {
  const decoded = decodeEvents('json', {}, Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
  if (!decoded.ok) throw new Error(JSON.stringify(decoded.faults))
  return decoded.drafts
}

function faults(body: unknown): { pointer: string; code: string; detail: string }[] {
  const checked = catalog.checkAll(drafts(body))
  return checked.ok ? [] : checked.faults
}

t.test('an event goes to the stream of its type', async (t) => {
  const checked = catalog.checkAll(
    drafts([{ type: 'anything' }, { type: 'orders.order.created', data: { orderId: 'a', amount: 1, more: true } }])
  )
  t.equal(checked.ok, true)
  t.strictSame(checked.ok && checked.streams.map(({ name }) => name), ['tests:test:all', 'orders:order:created'])
})

t.test('an unknown type is refused unless a stream takes them all', async (t) => {
  const [draft] = drafts({ type: 'toString', data: 1 }) as [Draft]
  t.match(catalog.check(draft), { ok: false, faults: [{ pointer: '/type', code: 'unknown-type' }] })
  const open = createCatalog(defineTopology({ streams, unknownTypes: { stream: 'inbox:event:any' } }))
  t.match(open.check(draft), { ok: true, stream: { name: 'inbox:event:any' } })
  const [order] = drafts({ type: 'orders.order.created', data: {} }) as [Draft]
  t.equal(open.check(order).ok, false, 'a type that is known is still checked')
})

t.test('every violation of every event is listed with its pointer', async (t) => {
  const body = [
    { type: 'orders.order.created', data: { orderId: '', items: [{ sku: 'x' }, { sku: 1, 'a/b': 1.5 }] } },
    { type: 'strict', data: { a: 1 } },
    { type: 'strict', data: { a: '1', b: 2 } },
    { type: 'nobody.knows' }
  ]
  t.strictSame(
    faults(body).map(({ pointer, code }) => `${pointer} ${code}`),
    [
      '/0/data/amount schema-violation',
      '/0/data/orderId schema-violation',
      '/0/data/items/1/sku schema-violation',
      '/0/data/items/1/a~1b schema-violation',
      '/2/data/b schema-violation',
      '/2/data/a schema-violation',
      '/3/type unknown-type'
    ]
  )
  t.equal(
    faults({ type: 'many', data: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`p${i}`, i])) }).length,
    40
  )
})

t.test('nothing is coerced and nothing is stripped', async (t) => {
  t.equal(faults({ type: 'strict', data: { a: '1' } }).length, 1)
  t.equal(faults({ type: 'strict', data: { a: null } }).length, 1)
  const [draft] = drafts('{"type":"orders.order.created","data":{ "amount":1e0, "orderId":"a", "x":[] }}') as [Draft]
  const before = structuredClone(draft)
  t.equal(catalog.check(draft).ok, true)
  t.strictSame(draft, before)
})

t.test('data that a type needs has to be there, and to be JSON', async (t) => {
  t.match(faults({ type: 'strict' }), [{ pointer: '/data', code: 'schema-violation' }])
  t.match(faults({ type: 'strict', data: null }), [{ pointer: '/data', code: 'schema-violation' }])
  t.match(faults([{ type: 'strict', data_base64: 'e30=' }]), [{ pointer: '/0/data_base64', code: 'schema-violation' }])
  t.strictSame(faults([{ type: 'anything' }, { type: 'anything', data: null }]), [])
})

t.test('a date-time is one of RFC 3339, as the time of an event is', async (t) => {
  const When = Type.Object({ at: Type.String({ format: 'date-time' }) })
  const timed = createCatalog(defineTopology({ streams: { 'times:time:told': { events: { when: When } } } }))
  const isTaken = (at: string) => timed.checkAll(drafts({ type: 'when', data: { at } })).ok
  for (const at of ['2026-01-01T12:00:00Z', '2026-01-01t12:00:00.123456+05:30', '2016-12-31T23:59:60Z'])
    t.equal(isTaken(at), true, at)
  for (const at of ['2026-02-29T12:00:00Z', '2026-01-01T12:00:00', '2026-01-01 12:00:00Z', '2026-01-01T12:00:60Z', ''])
    t.equal(isTaken(at), false, at)
  const [fault] = (timed.check(drafts({ type: 'when', data: { at: 'now' } })[0] as Draft) as { faults: object[] })
    .faults
  t.match(fault, { pointer: '/data/at', code: 'schema-violation', detail: /date-time/ })
})

t.test('data nested too deeply for a recursive schema is refused', async (t) => {
  const Tree = Type.Cyclic({ Node: Type.Object({ next: Type.Optional(Type.Ref('Node')) }) }, 'Node')
  const recursive = createCatalog(defineTopology({ streams: { 'trees:tree:grown': { events: { tree: Tree } } } }))
  const nested = (levels: number) =>
    drafts(`{"type":"tree","data":${'{"next":'.repeat(levels)}{}${'}'.repeat(levels)}}`)
  t.equal(recursive.checkAll(nested(10)).ok, true)
  t.match(recursive.checkAll(nested(100_000)), { ok: false, faults: [{ pointer: '/data', code: 'schema-violation' }] })
})

t.test('the types are listed by name with their stream and schema', async (t) => {
  t.strictSame(
    catalog.types().map(({ type, stream, schema }) => [type, stream.name, schema]),
    [
      ['anything', 'tests:test:all', Type.Unknown()],
      ['many', 'tests:test:all', Many],
      ['orders.order.created', 'orders:order:created', Order],
      ['strict', 'tests:test:all', Strict]
    ]
  )
})
