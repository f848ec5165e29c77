import fc from 'fast-check'
import t from 'tap'
import { createLineSplitter } from '../../src/ingest/ndjson.ts'

function split(chunks: (string | Buffer)[], maxLineBytes = 100) {
  const splitter = createLineSplitter({ maxLineBytes })
  const lines = chunks.flatMap((chunk) => splitter.push(Buffer.from(chunk)))
  lines.push(...splitter.flush())
  return { lines: lines.map(({ number, body }) => `${number} ${body}`), tooLongAt: splitter.tooLongAt() }
}

t.test('lines end with a line feed, with or without a carriage return, and the last one may end without', async (t) => {
  t.strictSame(split(['a\nb\r\nc']), { lines: ['1 a', '2 b', '3 c'], tooLongAt: undefined })
  t.strictSame(split(['a\n', 'b\r', '\n', 'c\n']).lines, ['1 a', '2 b', '3 c'])
  t.strictSame(split(['a\rb\nc\r']).lines, ['1 a\rb', '2 c'])
})

t.test('empty lines are left out but counted', async (t) => {
  t.strictSame(split(['\n\r\na\n\n\nb\n\n']).lines, ['3 a', '6 b'])
  t.strictSame(split([]).lines, [])
  t.strictSame(split(['\n']).lines, [])
})

t.test('a line that is too long is told and ends the lines', async (t) => {
  t.strictSame(split(['abc\nabcd\nx\n'], 3), { lines: ['1 abc'], tooLongAt: 2 })
  t.strictSame(split(['abc\r\nabc\r\nabc'], 3), { lines: ['1 abc', '2 abc', '3 abc'], tooLongAt: undefined })
  t.strictSame(split(['ab', 'c', 'd', '\nx\n'], 3), { lines: [], tooLongAt: 1 })
  t.strictSame(split(['x\nab', 'cdefg\nx\n'], 3), { lines: ['1 x'], tooLongAt: 2 })
  t.strictSame(split(['abcd'], 3), { lines: [], tooLongAt: 1 })
})

t.test('a line that is too long is told before it ends', async (t) => {
  const splitter = createLineSplitter({ maxLineBytes: 1_000 })
  for (let sent = 0; sent < 2_000 && splitter.tooLongAt() === undefined; sent += 100)
    splitter.push(Buffer.alloc(100, 'x'))
  t.equal(splitter.tooLongAt(), 1)
  t.strictSame(splitter.push(Buffer.from('\nx\n')), [])
})

t.test('lines do not change when later chunks come', async (t) => {
  const splitter = createLineSplitter({ maxLineBytes: 100 })
  splitter.push(Buffer.from('fir'))
  const lines = splitter.push(Buffer.from('st\nsec'))
  lines.push(...splitter.push(Buffer.from('ond\n')))
  t.strictSame(
    lines.map(({ body }) => String(body)),
    ['first', 'second']
  )
})

t.test('where the chunks are cut makes no difference, even inside a character', async () => {
  const line = fc.string({ unit: fc.constantFrom('a', '€', '😀', '{', '\r', 'é'), maxLength: 12 })
  fc.assert(
    fc.property(
      fc.array(fc.tuple(line, fc.constantFrom('\n', '\r\n'))),
      line,
      fc.array(fc.nat()),
      fc.integer({ min: 1, max: 40 }),
      (lines, last, cuts, limit) => {
        const whole = Buffer.from(lines.map(([text, end]) => text + end).join('') + last)
        const places = [0, ...cuts.map((cut) => cut % (whole.length + 1)), whole.length].sort((a, b) => a - b)
        const chunks = places.slice(1).map((place, i) => whole.subarray(places[i], place))
        const inPieces = split(chunks, limit)
        const atOnce = split([whole], limit)
        return JSON.stringify(inPieces) === JSON.stringify(atOnce)
      }
    ),
    { numRuns: 3_000 }
  )
})
