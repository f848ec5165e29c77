/**
 * npm run bench [-- --check] [program ...]: runs the named programs of this folder, or all, one after the other. With
 * --check each exits 1 when its limits do not hold, and so does this.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { startFlags } from './start-flags.ts'

const programs = ['ingest', 'consume', 'delay', 'operators', 'ndjson', 'overload']

const args = process.argv.slice(2)
const named = args.filter((arg) => !arg.startsWith('--'))
for (const program of named.length > 0 ? named : programs) {
  console.log(`\n${program}`)
  const child = fork(
    new URL(`${program}.ts`, import.meta.url),
    args.filter((arg) => arg.startsWith('--')),
    { execArgv: [...startFlags] }
  )
  const [code] = await once(child, 'exit')
  if (code !== 0) process.exitCode = 1
}
