import { readFileSync } from 'node:fs'
import t from 'tap'

interface LockedPackage {
  version?: string
  integrity?: string
  resolved?: string
  optionalDependencies?: Record<string, string>
  peerDependenciesMeta?: Record<string, { optional?: boolean }>
}

const text = readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')
const packages: Record<string, LockedPackage> = JSON.parse(text).packages

/** The folders where Node looks for `name` when a package at `path` asks for it, innermost first. */
function candidates(path: string, name: string): string[] {
  const nested = path === '' ? [] : path.split(/(?:^|\/)node_modules\//).slice(1)
  return [...nested.keys(), nested.length].reverse().map((depth) => {
    return [...nested.slice(0, depth), name].map((part) => `node_modules/${part}`).join('/')
  })
}

t.test('the lock file holds every platform package that any package in it may ask for', async (t) => {
  const missing: string[] = []
  let named = 0
  for (const [path, { optionalDependencies = {} }] of Object.entries(packages)) {
    for (const name of Object.keys(optionalDependencies)) {
      named += 1
      if (!candidates(path, name).some((candidate) => packages[candidate])) missing.push(`${path} -> ${name}`)
    }
  }
  t.same(missing, [])
  t.ok(named > 20, 'packages with platform entries (the linter, the type checker) are in it')
})

t.test('every package is locked by version and content, and none by the address it once came from', async (t) => {
  const installed = Object.entries(packages).filter(([path]) => path !== '')
  t.same(
    installed
      .filter(([, { version, integrity }]) => version === undefined || integrity === undefined)
      .map(([path]) => path),
    []
  )
  t.same(
    installed.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path),
    []
  )
  t.notMatch(text, /"https?:\/\/[^"]*\.tgz/)
})
