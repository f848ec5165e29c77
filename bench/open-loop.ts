/** An open-loop HTTP client: requests are due at a fixed rate, whatever becomes of the ones before. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface OpenLoad {
  port: number
  key: string
  perSecond: number
  seconds: number
  connections: number
  body: (n: number) => string
}

export interface OpenLoadResult {
  sent: number
  /** Due while no connection was free for so long that it was given up. */
  given: number
  /** Numbers of the requests that were answered 202. */
  accepted: number[]
  /** Milliseconds from when each of them was due until its answer. */
  latencies: number[]
  statuses: Map<number, number>
}

/** A request that is due and finds no free connection waits this long for one, and its waiting counts. */
const PATIENCE_MS = 2_000

export async function openLoad({
  port,
  key,
  perSecond,
  seconds,
  connections,
  body
}: OpenLoad): Promise<OpenLoadResult> {
  const result: OpenLoadResult = { sent: 0, given: 0, accepted: [], latencies: [], statuses: new Map() }
  const free: Connection[] = []
  const all = await Promise.all(Array.from({ length: connections }, () => open(port)))
  free.push(...all)
  const waiting: { n: number; dueAt: number }[] = []
  let outstanding = 0

  const send = (connection: Connection, n: number, dueAt: number) => {
    result.sent += 1
    outstanding += 1
    const text = body(n)
    const head = `POST /events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n`
    connection.request(head + text, (status) => {
      outstanding -= 1
      result.statuses.set(status, (result.statuses.get(status) ?? 0) + 1)
      if (status === 202) {
        result.accepted.push(n)
        result.latencies.push(performance.now() - dueAt)
      }
      const next = waiting.shift()
      if (next === undefined) free.push(connection)
      else send(connection, next.n, next.dueAt)
    })
  }

  const began = performance.now()
  const total = Math.round(perSecond * seconds)
  let due = 0
  while (due < total) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    const now = performance.now()
    for (; due < total && began + (due * 1_000) / perSecond <= now; due += 1) {
      const dueAt = began + (due * 1_000) / perSecond
      const connection = free.pop()
      if (connection === undefined) waiting.push({ n: due, dueAt })
      else send(connection, due, dueAt)
    }
    while (waiting[0] !== undefined && now - waiting[0].dueAt > PATIENCE_MS) {
      waiting.shift()
      result.given += 1
    }
  }
  while (outstanding > 0) await new Promise((resolve) => setTimeout(resolve, 5))
  for (const { socket } of all) socket.destroy()
  return result
}

interface Connection {
  socket: Socket
  /** One at a time; `done` gets the status, 0 when the connection broke. */
  request: (bytes: string, done: (status: number) => void) => void
}

async function open(port: number): Promise<Connection> {
  const socket = connect(port, '127.0.0.1')
  socket.setNoDelay()
  await once(socket, 'connect')
  let text = ''
  let waiting: ((status: number) => void) | undefined
  const answer = (status: number) => {
    const done = waiting
    waiting = undefined
    text = ''
    done?.(status)
  }
  socket.setEncoding('latin1')
  socket.on('data', (part) => {
    text += part
    const end = text.indexOf('\r\n\r\n')
    if (end < 0) return
    const length = /content-length: (\d+)/i.exec(text)
    if (length !== null && text.length >= end + 4 + Number(length[1])) answer(Number(text.slice(9, 12)))
  })
  socket.on('error', () => undefined)
  socket.on('close', () => answer(0))
  return {
    socket,
    request(bytes, done) {
      waiting = done
      if (socket.destroyed) answer(0)
      else socket.write(bytes)
    }
  }
}
