/** A closed-loop HTTP client: so many connections, each sends its next request when the last was answered. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface Load {
  port: number
  path: string
  key: string
  connections: number
  requests: number
  body: (n: number) => string
}

/** Sends all requests; resolves with the seconds it took. Rejects on any answer but 202. */
export async function load({ port, path, key, connections, requests, body }: Load): Promise<number> {
  let next = 0
  const run = async () => {
    const socket = connect(port, '127.0.0.1')
    socket.setNoDelay()
    await once(socket, 'connect')
    while (next < requests) {
      const text = body(next++)
      const head = `POST ${path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n`
      socket.write(head + text)
      const status = await answer(socket)
      if (status !== '202') throw new Error(`a request was answered ${status}`)
    }
    socket.destroy()
  }
  const started = performance.now()
  await Promise.all(Array.from({ length: connections }, run))
  return (performance.now() - started) / 1_000
}

/** Reads one whole answer with a content-length; returns its status. */
function answer(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const onData = (bytes: Buffer) => {
      text += bytes.toString('latin1')
      const end = text.indexOf('\r\n\r\n')
      if (end < 0) return
      const length = /content-length: (\d+)/i.exec(text)
      if (length === null || text.length < end + 4 + Number(length[1])) return
      done()
      resolve(text.slice(9, 12))
    }
    const onClose = () => {
      done()
      reject(new Error('the connection was closed'))
    }
    const done = () => {
      socket.off('data', onData)
      socket.off('close', onClose)
    }
    socket.on('data', onData)
    socket.on('close', onClose)
  })
}
