import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { headgate } from './index.ts'
import { StartupError } from './startup-error.ts'
import { type Topology, TopologyError } from './topology.ts'

/** The topology that ships with Headgate. */
export const SHOP = new URL('./shop/topology.ts', import.meta.url)

/**
 * The topology of a module, named by path or file URL, whose default export is one or a function that makes one.
 * Throws TopologyError for the faults of a topology and StartupError for everything else.
 */
export async function loadTopology(name: string): Promise<Topology> {
  const url = name.startsWith('file:') ? name : pathToFileURL(resolve(name)).href
  let module: { default?: unknown }
  try {
    module = await import(url)
  } catch (err) {
    if (err instanceof TopologyError) throw err
    throw new StartupError(`TOPOLOGY: ${name} cannot be loaded: ${err instanceof Error ? err.message : err}`)
  }
  const topology = typeof module.default === 'function' ? await module.default(headgate) : module.default
  if (!isTopology(topology))
    throw new StartupError(`TOPOLOGY: the default export of ${name} is not what defineTopology returns`)
  return topology
}

function isTopology(value: unknown): value is Topology {
  return typeof value === 'object' && value !== null && 'streamOfType' in value
}
