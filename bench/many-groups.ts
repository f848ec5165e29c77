/** A topology of 50 streams with 20 groups each, none of them handled here. */
import { Type } from 'typebox'
import { defineTopology } from '../src/topology.ts'

export const streamNames = Array.from({ length: 50 }, (_, n) => `bench:stream${n}:written`)
const groups = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`group${n}`, { external: true }]))

export default defineTopology({
  streams: Object.fromEntries(
    streamNames.map((name) => [
      name,
      { events: { [name.replaceAll(':', '.')]: Type.Unknown() }, retention: { keepAll: true }, groups }
    ])
  )
})
