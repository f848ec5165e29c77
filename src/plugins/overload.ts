/**
 * Refuses requests when the event loop cannot keep up.
 *
 * All requests that arrived while one turn of the loop ran are handled in the next one, so what a turn takes is what the
 * requests in it have waited. Once it has used the CPU time it may, what is left of it is refused, before its body is
 * read: that costs a hundredth of a millisecond, and what is accepted under lasting overload is still answered soon
 * (controlled delay, as in CoDel). A delay that is sampled, as @fastify/under-pressure does, swings between accepting all
 * and refusing all: every sampling interval lets in as much as arrives in it.
 */
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ProblemError } from '../errors.ts'
import { createTurns } from '../turns.ts'

const BURST_MS = 150
/** What is accepted waits about three turns: for its own, for the one its flush leaves in, for the one its answer comes in. */
const BUSY_MS = 10
/** Turns that use more than `BUSY_MS` for this long are more than a burst. */
const LASTING_MS = 100

const probes: ReadonlySet<string | undefined> = new Set(['/livez', '/readyz'])

/** Asked by whoever restarts or routes to this process, and so answered under any load. */
export function isProbe(request: FastifyRequest): boolean {
  return probes.has(request.routeOptions.url)
}

export const overload = fp(
  async (app) => {
    const turns = createTurns(BUSY_MS, BURST_MS, LASTING_MS)
    app.server.prependListener('request', turns.begin)
    app.addHook('onRequest', (request, _reply, done) => {
      if (!turns.isSpent() || isProbe(request)) return done()
      done(new ProblemError('overloaded'))
    })
  },
  { name: 'overload', dependencies: ['request-id'], fastify: '5.x' }
)
