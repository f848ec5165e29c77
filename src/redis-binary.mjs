/**
 * Which Redis on this machine Headgate can run. Plain JavaScript without dependencies: the bootstrap asks on whatever
 * Node the machine has, before anything is installed.
 */
import { execFileSync } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Servers that will do, and the oldest release of each: consumer group lag and `XTRIM MINID` arrived with them. */
export const oldestRedis = [
  { name: 'Redis', command: 'redis-server', version: '7.0' },
  { name: 'Valkey', command: 'valkey-server', version: '7.2' }
]

/**
 * Looks for `redis-server`, then `valkey-server`, in the folders of `path`, and returns the first that is new enough as
 * `{ status: 'found', file, name, version }`. Otherwise `{ status: 'too-old', … }` for the last one seen, or
 * `{ status: 'missing' }`. Runs each candidate once with `--version` (about 5 ms).
 */
export function findRedis(path = '') {
  let found = { status: 'missing' }
  for (const { command, name: expected } of oldestRedis) {
    for (const folder of path.split(delimiter).filter(Boolean)) {
      const file = join(folder, command)
      if (!isExecutable(file)) continue
      const version = versionOf(file)
      if (version === undefined) continue
      const name = version.name ?? expected
      if (isSupported(name, version.number)) return { status: 'found', file, name, version: version.number }
      found = { status: 'too-old', file, name, version: version.number }
    }
  }
  return found
}

/** One line that names what was found and what is needed. */
export function tooOld({ file, name, version }) {
  const needed = oldestRedis.map((known) => `${known.name} ${known.version}`).join(' or ')
  return `${file} is ${name} ${version}, which is too old: Headgate needs ${needed} or newer.`
}

/** The first line of `--version` reads `Redis server v=7.0.15 sha=…` or `Valkey server v=8.0.1 …`. */
function versionOf(file) {
  try {
    const line = execFileSync(file, ['--version'], {
      encoding: 'utf8',
      timeout: 5_000,
      stdio: ['ignore', 'pipe', 'ignore']
    })
    const [, name, number] = /(\w+) server v=(\d+\.\d+(?:\.\d+)?)/i.exec(line) ?? []
    return number === undefined ? undefined : { name, number }
  } catch {
    return undefined
  }
}

function isSupported(name, version) {
  const known = oldestRedis.find((candidate) => candidate.name === name) ?? oldestRedis[0]
  const [major, minor] = version.split('.').map(Number)
  const [oldestMajor, oldestMinor] = known.version.split('.').map(Number)
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}
