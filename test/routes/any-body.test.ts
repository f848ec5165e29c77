import { randomUUID } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { defineTopology } from '../../src/topology.ts'
import { testApp } from '../fixtures/app.ts'
import { portOf, post } from '../fixtures/http.ts'
import { until } from '../fixtures/until.ts'

const topology = defineTopology({ streams: { 'inbox:event:any': {} }, unknownTypes: { stream: 'inbox:event:any' } })
const { app, redis, prefix } = await testApp(t, { topology })
const port = await portOf(app)
const key = `${prefix}inbox:event:any`

async function storedData(): Promise<(string | undefined)[]> {
  const entries = await redis.xrange(key, '-', '+')
  await redis.xtrim(key, 'MAXLEN', 0)
  return entries.map(([, fields]) => fields[fields.indexOf('data') + 1])
}

const jsonText = fc
  .tuple(
    fc.oneof(
      fc.json({ maxDepth: 5 }),
      fc.double().map(String),
      fc.string({ unit: 'binary' }).map((text) => JSON.stringify(text))
    ),
    fc.constantFrom(0, 1, 3)
  )
  .filter(([text]) => text !== 'NaN' && !text.includes('Infinity'))
  .map(([text, indent]) => JSON.stringify(JSON.parse(text), null, indent))
  .filter((text) => Buffer.from(text).toString() === text)

t.test('any JSON value as data comes back from the stream byte for byte, in every form', async () => {
  const base = '"type":"t","specversion":"1.0","id":"i","source":"/s"'
  const forms = fc.constantFrom('json', 'array', 'structured', 'batched', 'binary', 'ndjson', 'gzip')
  await fc.assert(
    fc.asyncProperty(jsonText, forms, async (data, form) => {
      // An id is never used twice, not even by a smaller counterexample.
      const id = randomUUID()
      const event = `{${base.replace('"i"', `"${id}"`)},"data":${data}}`
      const sending = {
        json: () => post(port, event),
        array: () => post(port, `[${event}]`),
        structured: () => post(port, event, { 'content-type': 'application/cloudevents+json' }),
        batched: () => post(port, `[${event}]`, { 'content-type': 'application/cloudevents-batch+json' }),
        binary: () => post(port, data, { 'ce-specversion': '1.0', 'ce-id': id, 'ce-source': '/s', 'ce-type': 't' }),
        // White space between members of an object may hold line feeds, and one event is one line.
        ndjson: () => post(port, event.replaceAll('\n', ' '), { 'content-type': 'application/x-ndjson' }),
        gzip: () => post(port, gzipSync(event), { 'content-encoding': 'gzip' })
      }
      const { status, body } = await until(async () => {
        const answer = await sending[form as keyof typeof sending]()
        // A machine that halts for a moment makes the gateway refuse what has to wait: that stored nothing.
        return answer.status === 503 ? undefined : answer
      })
      if (status !== 202) throw new Error(JSON.stringify(body))
      const expected = form === 'ndjson' ? data.replaceAll('\n', ' ') : data
      return JSON.stringify(await storedData()) === JSON.stringify([expected])
    }),
    { numRuns: 400 }
  )
})

const event = fc.record({ type: fc.constant('t'), data: fc.jsonValue(), subject: fc.string({ minLength: 1 }) })
const whole = fc.oneof(event, fc.array(event, { maxLength: 5 })).map((value) => Buffer.from(JSON.stringify(value)))
/** Bytes that are nearly what is wanted, in places. */
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 500 }).map((array) => Buffer.from(array)),
  fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
  fc.tuple(whole, fc.nat(), fc.uint8Array({ maxLength: 3 })).map(([body, place, extra]) => {
    const at = place % (body.length + 1)
    return Buffer.concat([body.subarray(0, at), extra, body.subarray(at + (place % 3))])
  }),
  whole
)
const contentType = fc.constantFrom(
  'application/json',
  'application/cloudevents+json',
  'application/cloudevents-batch+json',
  'application/x-ndjson',
  'application/octet-stream',
  ''
)

t.test(
  'any bytes as a body are answered below 500, as problem+json or as stored; nothing is stored in half',
  async (t) => {
    const headers = fc.record(
      {
        'content-encoding': fc.constantFrom('gzip', 'identity', 'br'),
        'idempotency-key': fc.stringMatching(/^[ -~]{0,20}$/),
        'ce-id': fc.stringMatching(/^[!-~]{1,9}$/),
        'ce-type': fc.constantFrom('t', '%', '"'),
        'ce-source': fc.constantFrom('/s', '%%'),
        'ce-specversion': fc.constantFrom('1.0', '2')
      },
      { requiredKeys: [] }
    )
    const path = fc.constantFrom('/events', '/events/batch')
    await fc.assert(
      fc.asyncProperty(bytes, contentType, headers, path, fc.boolean(), async (body, type, more, path, zipped) => {
        const sent = zipped && more['content-encoding'] === 'gzip' ? gzipSync(body) : body
        const answer = await post(port, sent, { 'content-type': type, ...more, path })
        const stored = (await storedData()).length
        const said = Number(answer.body.accepted ?? (answer.status === 202 ? 1 : 0)) - duplicatesIn(answer.body)
        if (stored !== said)
          throw new Error(`${stored} stored, answered ${answer.status} ${JSON.stringify(answer.body)}`)
        if (answer.status === 202) return true
        return (
          answer.status >= 400 &&
          answer.status < 500 &&
          String(answer.headers['content-type']).startsWith('application/problem+json') &&
          answer.body.status === answer.status
        )
      }),
      { numRuns: 1_500 }
    )
    t.equal((await post(port, '{"type":"t"}')).status, 202, 'the gateway is well')
  }
)

function duplicatesIn(body: { duplicates?: number; duplicate?: boolean }): number {
  return body.duplicates ?? (body.duplicate === true ? 1 : 0)
}
