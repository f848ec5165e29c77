/**
 * Refuses requests when the event loop cannot keep up, before their bodies are read: that costs 0.03 ms. What is accepted
 * under lasting overload is still answered soon, because only so much of it waits (see waiting-room.ts).
 *
 * A delay that is sampled, as @fastify/under-pressure does, swings between accepting all and refusing all: every sampling
 * interval lets in as much as arrives in it.
 */
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { ProblemError } from '../errors.ts'
import { createWaitingRoom } from '../waiting-room.ts'

/** Measured with requests of 1.5 ms at ten times the rate that can be carried: half of what is accepted is answered in 30 to 33 ms. */
const limits = {
  sliceMs: 2,
  calm: { ms: 50, atLeast: 16 },
  pressed: { ms: 10, atLeast: 6 },
  lastingMs: 50,
  coldAtLeast: 128,
  coldCount: 1_000
}

const probes: ReadonlySet<string | undefined> = new Set(['/livez', '/readyz'])

/** Asked by whoever restarts or routes to this process, and so answered under any load. */
export function isProbe(request: FastifyRequest): boolean {
  return probes.has(request.routeOptions.url)
}

export const overload = fp(
  async (app) => {
    const room = createWaitingRoom(limits)
    app.addHook('onRequest', (request, _reply, done) => {
      if (isProbe(request)) done()
      else room.enter({ begin: done, refuse: () => done(new ProblemError('overloaded')) })
    })
  },
  { name: 'overload', dependencies: ['request-id'], fastify: '5.x' }
)
