/** A connection of an HTTP client, and a closed loop over many: each sends its next request when the last was answered. */
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
  const all = await Promise.all(Array.from({ length: connections }, () => openConnection(port)))
  t.teardown(() => all.forEach(({ socket }) => void socket.destroy()))
  return async (count, request) => {
    let next = 0
    const started = performance.now()
    const run = async (connection: Connection) => {
      while (next < count) {
        const text = request(next++)
        await new Promise<void>((resolve, reject) => {
          connection.request(text, (status, answer) => {
            if (status >= 200 && status < 300) resolve()
            else reject(new Error(status === 0 ? 'the connection was closed' : `a request was answered\n${answer}`))
          })
        })
      }
    }
    await Promise.all(all.map(run))
    return (performance.now() - started) / 1_000
  }
}

export interface Connection {
  socket: Socket
  /** One at a time; `done` gets the status and the whole answer, or 0 when the connection broke. */
  request: (text: string, done: (status: number, answer: string) => void) => void
}

export async function openConnection(port: number): Promise<Connection> {
  const socket = connect(port, '127.0.0.1')
  socket.setNoDelay()
  await once(socket, 'connect')
  let text = ''
  let waiting: ((status: number, answer: string) => void) | undefined
  const answer = (status: number) => {
    const done = waiting
    const whole = text
    waiting = undefined
    text = ''
    done?.(status, whole)
  }
  socket.setEncoding('latin1')
  socket.on('data', (part) => {
    text = text === '' ? String(part) : text + part
    if (isWhole(text)) answer(Number(text.slice(9, 12)))
  })
  socket.on('error', () => undefined)
  socket.on('close', () => answer(0))
  return {
    socket,
    request(bytes, done) {
      waiting = done
      if (socket.destroyed) answer(0)
      else socket.write(bytes, 'latin1')
    }
  }
}

const length = /content-length: (\d+)/i

/** Is this one whole answer? */
function isWhole(answer: string): boolean {
  const end = answer.indexOf('\r\n\r\n')
  if (end < 0) return false
  const [, bytes] = length.exec(answer) ?? []
  return bytes !== undefined && answer.length >= end + 4 + Number(bytes)
}
