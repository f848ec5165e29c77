import fp from 'fastify-plugin'
import { createMetrics, type Metrics } from '../metrics/metrics.ts'
import type { RequestTally } from '../metrics/request-tally.ts'
import type { Topology } from '../topology.ts'

declare module 'fastify' {
  interface FastifyInstance {
    requestTally: RequestTally
    metrics: Metrics
  }
}

/** Counts requests and how they are answered; registered before whatever answers. */
export const requestTally = fp<{ tally: RequestTally }>(
  async (app, { tally }) => {
    app.decorate('requestTally', tally)
  },
  { name: 'request-tally', fastify: '5.x' }
)

/** What GET /metrics answers; registered behind whatever it shows. */
export const metrics = fp<{ topology: Topology; version: string }>(
  async (app, { topology, version }) => {
    const metrics = createMetrics({
      version,
      topology,
      requests: app.requestTally,
      streams: app.streams,
      handlers: app.consumers?.tallies ?? [],
      connections: app.redis.states,
      log: app.log
    })
    app.decorate('metrics', metrics)
  },
  { name: 'metrics', dependencies: ['request-tally', 'redis', 'streams'], fastify: '5.x' }
)
