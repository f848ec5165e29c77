import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { testApp } from '../fixtures/app.ts'
import { portOf } from '../fixtures/http.ts'
import { until } from '../fixtures/until.ts'

const head = 'POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer publisher\r\n'
const line = '{"type":"users.user.renamed","data":{"name":"Ada"}}\n'

function codeOf(t: Test, answer: string): string {
  t.match(answer, /^HTTP\/1\.1 408 [\s\S]*content-type: application\/problem\+json/i)
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))).code
}

t.test('headers and bodies that take too long to arrive are answered 408, and the connection ends', async (t) => {
  const { app, redis, prefix } = await testApp(t, { REQUEST_TIMEOUT_MS: 1_000 })
  const port = await portOf(app)
  const json = `${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n`
  const answers = await Promise.all(
    ['POST /events HTTP/1.1\r\nhost:', json, `${json}{"type":"users.user.renamed"`].map((bytes) => {
      const socket = connect(port, '127.0.0.1')
      socket.write(bytes)
      return text(socket)
    })
  )
  t.same(
    answers.map((answer) => codeOf(t, answer)),
    ['request-timeout', 'request-timeout', 'request-timeout']
  )
  t.equal(await redis.exists(`${prefix}users:user:events`), 0)
})

t.test('an NDJSON body may take any time while its bytes flow, and is ended when they stop', async (t) => {
  const { app, redis, prefix } = await testApp(t, { REQUEST_TIMEOUT_MS: 1_000 })
  const socket = connect(await portOf(app), '127.0.0.1')
  await once(socket, 'connect')
  const answered = text(socket)
  socket.write(`${head}content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n`)
  const send = () => socket.write(`${line.length.toString(16)}\r\n${line}\r\n`)
  const flowing = setInterval(send, 100)
  t.teardown(() => clearInterval(flowing))
  const began = performance.now()
  await until(() => performance.now() - began > 3_000)
  clearInterval(flowing)
  t.equal(socket.readyState, 'open', 'three times the limit')
  const answer = await answered
  t.equal(codeOf(t, answer), 'request-timeout')
  const { accepted, line: next } = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))
  t.ok(accepted >= 20)
  t.equal(next, accepted + 1)
  t.equal(await redis.xlen(`${prefix}users:user:events`), accepted)
})
