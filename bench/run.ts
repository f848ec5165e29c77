/**
 * npm run bench [-- --check] [program ...]: runs the named programs of this folder one after the other, `ingest` and
 * `consume` unless told otherwise. With --check each exits 1 when its limits do not hold, and so does this.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'

const args = process.argv.slice(2)
const named = args.filter((arg) => !arg.startsWith('--'))
for (const program of named.length > 0 ? named : ['ingest', 'consume']) {
  console.log(`\n${program}`)
  // As `npm start` and the Dockerfile run the gateway.
  const execArgv = ['--max-semi-space-size=64']
  const child = fork(
    new URL(`${program}.ts`, import.meta.url),
    args.filter((arg) => arg.startsWith('--')),
    { execArgv }
  )
  const [code] = await once(child, 'exit')
  if (code !== 0) process.exitCode = 1
}
