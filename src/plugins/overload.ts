/**
 * Refuses requests when the event loop cannot keep up.
 *
 * All requests that arrived while one turn of the loop ran are handled in the next one, so the time a turn has taken is
 * what the requests in it have waited. Once a turn has taken its time, what is left of it is refused: at `BURST_MS` after
 * a calm moment, so that a burst is served late rather than refused, and at `BUSY_MS` when turns have been longer than
 * that for a while, so that what is accepted under lasting overload is still answered soon (controlled delay, as in
 * CoDel). A delay that is sampled, as @fastify/under-pressure does, swings between accepting all and refusing all: every
 * sampling interval lets in as much as arrives in it.
 */
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ProblemError } from '../errors.ts'

const BURST_MS = 150
const BUSY_MS = 10
/** Turns longer than `BUSY_MS` for this long are more than a burst. */
const LASTING_MS = 100

const probes: ReadonlySet<string | undefined> = new Set(['/livez', '/readyz'])

/** Asked by whoever restarts or routes to this process, and so answered under any load. */
export function isProbe(request: FastifyRequest): boolean {
  return probes.has(request.routeOptions.url)
}

export const overload = fp(
  async (app) => {
    let began = 0
    let ended = 0
    let inTurn = false
    let calmAt = performance.now()
    const endTurn = () => {
      inTurn = false
      ended = performance.now()
      if (ended - began < BUSY_MS) calmAt = ended
    }
    app.server.prependListener('request', () => {
      if (inTurn) return
      inTurn = true
      began = performance.now()
      // Nothing was asked for a while: whatever happened before is over.
      if (began - ended > LASTING_MS) calmAt = began
      setImmediate(endTurn)
    })
    app.addHook('onRequest', (request, _reply, done) => {
      if (!inTurn) return done()
      const now = performance.now()
      const allowedMs = now - calmAt > LASTING_MS ? BUSY_MS : BURST_MS
      if (now - began <= allowedMs || isProbe(request)) return done()
      done(new ProblemError('overloaded'))
    })
  },
  { name: 'overload', dependencies: ['request-id'], fastify: '5.x' }
)
