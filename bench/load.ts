/** A closed-loop HTTP client: so many connections, each sends its next request when the last was answered. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Trial } from './trial.ts'

/** The n-th request, whole; ASCII. */
export type RequestOf = (n: number) => string

/** Sends requests 0 to `count` - 1; resolves with the seconds it took. Rejects on any answer but a 2xx. */
export type ClosedLoop = (count: number, request: RequestOf) => Promise<number>

/** A POST of JSON as a whole request. */
export function posting(path: string, key: string, body: (n: number) => string): RequestOf {
  const head = `POST ${path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\ncontent-length: `
  return (n) => {
    const text = body(n)
    return `${head}${text.length}\r\n\r\n${text}`
  }
}

/** Opens the connections, which stay open until the trial ends. */
export async function closedLoop(t: Pick<Trial, 'teardown'>, port: number, connections: number): Promise<ClosedLoop> {
  const clients = await Promise.all(Array.from({ length: connections }, () => openClient(t, port)))
  return async (count, request) => {
    let next = 0
    const started = performance.now()
    await Promise.all(
      clients.map(async (ask) => {
        while (next < count) {
          const answer = await ask(request(next++))
          if (answer[9] !== '2') throw new Error(`a request was answered\n${answer}`)
        }
      })
    )
    return (performance.now() - started) / 1_000
  }
}

/** One connection: sends a request and resolves with the whole answer. */
async function openClient(t: Pick<Trial, 'teardown'>, port: number): Promise<(request: string) => Promise<string>> {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.setNoDelay()
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  const answers = answersOn(socket)
  return (request) => {
    socket.write(request, 'latin1')
    return answers()
  }
}

/** Gives a function that waits for one whole answer with a content-length. */
function answersOn(socket: Socket): () => Promise<string> {
  let text = ''
  let waiting: PromiseWithResolvers<string> | undefined
  socket.setEncoding('latin1')
  socket.on('data', (part) => {
    text = text === '' ? String(part) : text + part
    if (!isWhole(text)) return
    const answer = text
    text = ''
    waiting?.resolve(answer)
  })
  socket.on('close', () => waiting?.reject(new Error('the connection was closed')))
  return () => {
    waiting = Promise.withResolvers()
    return waiting.promise
  }
}

const length = /content-length: (\d+)/i

/** Is this one whole answer? */
export function isWhole(answer: string): boolean {
  const end = answer.indexOf('\r\n\r\n')
  if (end < 0) return false
  const [, bytes] = length.exec(answer) ?? []
  return bytes !== undefined && answer.length >= end + 4 + Number(bytes)
}
