import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { EntriesReply, type EntryRows } from '../../src/streams/entries-reply.ts'
import { EntryReads } from '../../src/streams/entry-reads.ts'
import { startProxy } from '../fixtures/proxy.ts'
import { testRedis } from '../fixtures/redis.ts'

const { redis, server } = await testRedis(t)

const values = ['', 'order', 'größe', '漢字 🛒', '\u0000\r\n$3\r\n*2\r\n', 'x'.repeat(300)]
for (let n = 0; n < 40; n += 1) {
  const many = Array.from({ length: (n % 6) + 1 }, (_, i) => [`name${i}`, values[(n + i) % values.length] ?? '']).flat()
  await redis.xadd('some', '*', 'id', `${n}`, 'source', '/s', 'data', `{"n":${n}}`, ...many)
}
await redis.xadd('other', '*', 'type', 'a', 'text', 'y'.repeat(200_000))
const expected = new Map<string, EntryRows>()
for (const key of ['some', 'other']) expected.set(key, (await redis.xrange(key, '-', '+')) as EntryRows)

/** The bytes Redis answers XREAD of both streams with. */
async function replyBytes(protocol: 2 | 3): Promise<Buffer> {
  const socket = connect(server.socket as string)
  await once(socket, 'connect')
  socket.write(`HELLO ${protocol}\r\n`)
  await once(socket, 'data')
  socket.write('XREAD STREAMS some other 0 0\r\n')
  const parts: Buffer[] = []
  for await (const bytes of socket) {
    parts.push(bytes)
    if (bytes.subarray(-3).toString() === 'y\r\n') break
  }
  return Buffer.concat(parts)
}

function decoded(parts: Buffer[]): { reply: EntriesReply; rest: Buffer | undefined } {
  const reply = new EntriesReply()
  let rest: Buffer | undefined
  for (const part of parts) rest = reply.add(part)
  return { reply, rest }
}

for (const protocol of [2, 3] as const) {
  t.test(`a reply of RESP${protocol} is decoded wherever it is cut into parts`, async (t) => {
    const bytes = await replyBytes(protocol)
    const behind = Buffer.from('+NEXT\r\n')
    const whole = decoded([Buffer.concat([bytes, behind])])
    t.same(whole.reply.streams, expected)
    t.same(whole.rest, behind)
    for (const size of [1, 3, 64, 1_000, 65_536]) {
      // Small parts only where the texts are short.
      const end = size < 1_000 ? 8_000 : bytes.length
      const parts: Buffer[] = []
      for (let at = 0; at < end; at += size) parts.push(bytes.subarray(at, Math.min(at + size, end)))
      if (end < bytes.length) parts.push(bytes.subarray(end))
      const { reply, rest } = decoded(parts)
      t.same(reply.streams, expected, `parts of ${size} bytes`)
      t.equal(rest?.length, 0)
    }
  })
}

t.test('a read goes through ioredis: entries, nothing, errors, and commands beside it', async (t) => {
  for (const protocol of [2, 3] as const) {
    const client = server.client({ protocol, lazyConnect: true })
    const reads = new EntryReads(client)
    await client.connect()
    t.same(await reads.read('XREAD', ['STREAMS', 'some', 'other', '0', '0']), expected)
    t.same(await reads.read('XREAD', ['BLOCK', 5, 'STREAMS', 'some', '$']), new Map())
    await t.rejects(reads.read('XREADGROUP', ['GROUP', 'g', 'me', 'STREAMS', 'some', '>']), /^NOGROUP/)
    const [id, some, pong] = await Promise.all([
      client.client('ID'),
      reads.read('XREAD', ['COUNT', 2, 'STREAMS', 'some', '0']),
      client.ping()
    ])
    t.type(id, 'number')
    t.same(some.get('some'), expected.get('some')?.slice(0, 2))
    t.equal(pong, 'PONG')
    t.same(await client.xrange('some', '-', '+', 'COUNT', 1), expected.get('some')?.slice(0, 1))
  }
})

t.test('a connection that breaks inside a reply rejects the read, and the next connection reads all', async (t) => {
  const proxy = await startProxy(t, { path: server.socket as string })
  const port = Number(new URL(proxy.url).port)
  const client = server.client({
    path: undefined,
    host: '127.0.0.1',
    port,
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => 1
  })
  const reads = new EntryReads(client)
  await client.connect()
  const read = () => reads.read('XREAD', ['STREAMS', 'some', 'other', '0', '0'])
  for (const after of [3, 100, 5_000, 100_000]) {
    proxy.cutAfter('reply', after)
    const back = once(client, 'ready')
    await t.rejects(read(), `cut after ${after} bytes`)
    await back
    t.same(await read(), expected)
  }
  t.equal(proxy.cuts(), 4)
})
