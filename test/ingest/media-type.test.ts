import t from 'tap'
import { type Headers, type Mode, modeOf } from '../../src/ingest/media-type.ts'

const event = { 'ce-id': '1' }

const table: [contentType: string | undefined, headers: Headers, mode: Mode][] = [
  ['application/json', {}, 'json'],
  ['APPLICATION/JSON ; Charset="UTF-8"', {}, 'json'],
  ['application/json;charset=utf-8', {}, 'json'],
  ['application/json; charset=us-ascii', {}, 'json'],
  ['application/json; charset=utf-16', {}, 'unsupported'],
  ['application/json', event, 'binary'],
  ['application/json', { 'CE-ID': '1' }, 'binary'],
  ['application/json', { accept: '*/*', cedar: 'x', 'cf-ray': 'y' }, 'json'],
  ['application/cloudevents+json', {}, 'structured'],
  ['Application/CloudEvents+JSON;charset=utf-8', event, 'structured'],
  ['application/cloudevents+json; charset=iso-8859-1', {}, 'unsupported'],
  ['application/cloudevents-batch+json', event, 'batched'],
  ['application/cloudevents+xml', {}, 'unsupported'],
  ['application/cloudevents+avro', event, 'unsupported'],
  ['application/cloudevents+protobuf', event, 'unsupported'],
  ['application/cloudevents-batch+xml', event, 'unsupported'],
  ['application/cloudevents', event, 'unsupported'],
  ['application/x-ndjson', {}, 'ndjson'],
  ['Application/X-NDJSON; charset=utf-8', {}, 'ndjson'],
  ['application/x-ndjson', event, 'binary'],
  ['text/plain', event, 'binary'],
  [undefined, event, 'binary'],
  ['', event, 'binary'],
  ['text/plain', {}, 'unsupported'],
  ['application/vnd.api+json', {}, 'unsupported'],
  [undefined, {}, 'unsupported']
]

for (const [contentType, headers, mode] of table) {
  t.test(
    `${contentType ?? 'no content type'} with ${Object.keys(headers).join(', ') || 'no other header'} is ${mode}`,
    async (t) => {
      t.equal(modeOf(contentType, headers), mode)
    }
  )
}
