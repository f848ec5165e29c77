/**
 * Writes openapi.yaml, the description of the gateway with the shipped topology. Needs no Redis.
 */
import { writeFile } from 'node:fs/promises'
import { openapiYaml } from '../src/app.ts'
import shop from '../src/shop/topology.ts'

await writeFile(new URL('../openapi.yaml', import.meta.url), await openapiYaml(shop))
