/**
 * What a topology module may use. A module that is a file somewhere needs no import: it exports a function, and gets
 * all of this as its argument.
 */
import { Type } from 'typebox'
import { forward } from './consume/forward.ts'
import { reject, unavailable } from './consume/outcomes.ts'
import { dataOf, defineTopology } from './topology.ts'

export { Type } from 'typebox'
export { type ForwardOptions, forward } from './consume/forward.ts'
export { reject, unavailable } from './consume/outcomes.ts'
export type { ReceivedEvent } from './streams/entry.ts'
export type { Topology } from './topology.ts'
export { dataOf, defineTopology, TopologyError } from './topology.ts'
export type {
  Alerts,
  Backoff,
  GroupOptions,
  Handler,
  HandlerContext,
  PublishedEvent,
  Rebuild,
  RebuildContext,
  StreamOptions,
  TopologyOptions
} from './topology-options.ts'

export const headgate = Object.freeze({ defineTopology, dataOf, forward, reject, unavailable, Type })
export type Headgate = typeof headgate
