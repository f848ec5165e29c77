/** A closed-loop HTTP client: so many connections, each sends its next request when the last was answered. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface Load {
  port: number
  connections: number
  requests: number
  /** The n-th request, whole; ASCII. */
  request: (n: number) => string
}

/** A POST of JSON as a whole request. */
export function posting(path: string, key: string, body: (n: number) => string): Load['request'] {
  const head = `POST ${path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\ncontent-length: `
  return (n) => {
    const text = body(n)
    return `${head}${text.length}\r\n\r\n${text}`
  }
}

/** Sends all requests; resolves with the seconds it took. Rejects on any answer but a 2xx. */
export async function load({ port, connections, requests, request }: Load): Promise<number> {
  let next = 0
  const run = async () => {
    const socket = connect(port, '127.0.0.1')
    socket.setNoDelay()
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    const answers = answersOn(socket)
    while (next < requests) {
      socket.write(request(next++), 'latin1')
      const status = await answers()
      if (status[0] !== '2') throw new Error(`a request was answered ${status}`)
    }
    socket.destroy()
  }
  const started = performance.now()
  await Promise.all(Array.from({ length: connections }, run))
  return (performance.now() - started) / 1_000
}

/** Gives a function that waits for one whole answer with a content-length and resolves with its status. */
function answersOn(socket: Socket): () => Promise<string> {
  let text = ''
  let waiting = Promise.withResolvers<string>()
  socket.setEncoding('latin1')
  socket.on('data', (part) => {
    text = text === '' ? String(part) : text + part
    if (!isWhole(text)) return
    const status = text.slice(9, 12)
    text = ''
    waiting.resolve(status)
  })
  socket.on('close', () => waiting.reject(new Error('the connection was closed')))
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
