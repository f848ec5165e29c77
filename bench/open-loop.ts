/**
 * An open-loop HTTP client: requests are due at a fixed rate, whatever becomes of the ones before. It shares the machine
 * with what it measures, so it does as little as it can.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { type Connection, openConnection, type RequestOf } from './load.ts'

export interface OpenLoad {
  port: number
  connections: number
  request: RequestOf
  perSecond: number
  seconds: number
}

export interface OpenLoadResult {
  /** Due while no connection was free for so long that it was given up. */
  given: number
  /** Numbers of the requests that were answered 202. */
  accepted: number[]
  /** Milliseconds from when each of them was due until its answer. */
  latencies: number[]
  /** How many were answered with which status; 0: the connection broke. */
  statuses: Map<number, number>
}

/** A request that is due and finds no free connection waits this long for one, and its waiting counts. */
const PATIENCE_MS = 2_000

interface Due {
  n: number
  at: number
}

export async function openLoad(options: OpenLoad): Promise<OpenLoadResult> {
  const { port, perSecond, seconds, connections, request } = options
  const result: OpenLoadResult = { given: 0, accepted: [], latencies: [], statuses: new Map() }
  const all = await Promise.all(Array.from({ length: connections }, () => openConnection(port)))
  // The one that rested longest comes first: a connection that is never used is closed by the gateway.
  const free = [...all]
  const waiting: Due[] = []
  let outstanding = 0

  const send = (connection: Connection, due: Due) => {
    outstanding += 1
    connection.request(request(due.n), (status) => {
      outstanding -= 1
      result.statuses.set(status, (result.statuses.get(status) ?? 0) + 1)
      if (status === 202) {
        result.accepted.push(due.n)
        result.latencies.push(performance.now() - due.at)
      }
      const next = waiting.shift()
      if (next === undefined) free.push(connection)
      else send(connection, next)
    })
  }
  const began = performance.now()
  const total = Math.round(perSecond * seconds)
  for (let n = 0; n < total; ) {
    await pause(1)
    const now = performance.now()
    for (; n < total && began + (n * 1_000) / perSecond <= now; n += 1) {
      const due = { n, at: began + (n * 1_000) / perSecond }
      const connection = free.shift()
      if (connection === undefined) waiting.push(due)
      else send(connection, due)
    }
    while (waiting[0] !== undefined && now - waiting[0].at > PATIENCE_MS) {
      waiting.shift()
      result.given += 1
    }
  }
  while (outstanding > 0) await pause(5)
  for (const { socket } of all) socket.destroy()
  return result
}
