/**
 * Makes a fresh clone ready to run: dependencies, the pinned Node among them, and a Redis. Runs before `npm start` and
 * `npm test`, and takes about 30 ms when there is nothing to do. Plain JavaScript without dependencies, for whatever
 * Node the machine has. Whatever cannot be mended here is said in one line, and ends it with status 1.
 */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { findRedis, tooOld } from '../src/redis-binary.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const modules = join(root, 'node_modules')
const binaries = join(modules, '.bin')

/** The oldest Node whose npm can install everything; the gateway itself then runs on the one that is installed. */
const OLDEST_NODE_TO_INSTALL = [20, 0]
/** The first Node that runs TypeScript sources as they are. */
const OLDEST_NODE_TO_RUN = [22, 18]

/**
 * How each package manager installs a program, without leaving a server running. First come, first served, of the
 * managers and of the packages.
 */
const packageManagers = [
  {
    command: 'apt-get',
    asRoot: true,
    packages: { 'redis-server': ['redis-server', 'valkey-server'], promtool: ['prometheus'] },
    script: aptScript
  },
  {
    command: 'dnf',
    asRoot: true,
    packages: { 'redis-server': ['valkey', 'redis'], promtool: ['/usr/bin/promtool'] },
    script: (name) => `dnf install -y -q ${name}`
  },
  {
    command: 'brew',
    asRoot: false,
    packages: { 'redis-server': ['redis', 'valkey'], promtool: ['prometheus'] },
    script: (name) => `brew install ${name}`
  }
]

class Hopeless extends Error {}

try {
  requireNode(process.versions.node, OLDEST_NODE_TO_INSTALL, 'to install itself')
  if (!dependenciesAreFresh()) await installDependencies()
  await provideNode()
  // Only tests need it, and it takes seconds.
  if (process.env.npm_lifecycle_event !== 'prestart' && !tapIsBuilt()) await buildTap()
  await provideRedis()
  if (process.env.npm_lifecycle_event === 'pretest') await providePromtool()
} catch (error) {
  if (!(error instanceof Hopeless)) throw error
  process.stderr.write(`headgate: ${error.message}\n`)
  process.exitCode = 1
}

function say(text) {
  process.stderr.write(`headgate: ${text}\n`)
}

function requireNode(version, [major, minor], purpose) {
  const [haveMajor, haveMinor] = version.split('.').map(Number)
  if (haveMajor > major || (haveMajor === major && haveMinor >= minor)) return
  throw new Hopeless(
    `this is Node ${version}, and Headgate needs ${major}.${minor} or newer ${purpose}: see https://nodejs.org`
  )
}

/**
 * Whether node_modules holds what package-lock.json asks for, judged by the record npm leaves when an install has ended.
 * Packages for other platforms are never installed, so an optional one may be absent.
 */
function dependenciesAreFresh() {
  const record = join(modules, '.package-lock.json')
  if (!existsSync(record)) return false
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages
  return Object.entries(wanted).every(([path, { version, integrity, optional }]) => {
    if (path === '') return true
    const have = installed[path]
    return have === undefined ? optional === true : have.version === version && have.integrity === integrity
  })
}

async function installDependencies() {
  say('installing dependencies (npm ci), about half a minute')
  // What a user's npm settings leave out elsewhere (dev dependencies in production, for one) is needed here.
  await npm(['ci', '--include=dev', '--include=optional', '--engine-strict=false', '--loglevel=error'])
}

/** Checks the Node that npm scripts will run: the pinned one, whose binary comes by its package's install script. */
async function provideNode() {
  const pinned = join(binaries, 'node')
  if (!existsSync(pinned)) {
    say('fetching the pinned Node (its install script did not run)')
    await npm(['rebuild', 'node', '--ignore-scripts=false', '--loglevel=error'])
  }
  if (!existsSync(pinned)) {
    requireNode(
      process.versions.node,
      OLDEST_NODE_TO_RUN,
      'to run; `npm rebuild node --ignore-scripts=false` would install one here'
    )
    return
  }
  if (realpathSync(pinned) === realpathSync(process.execPath)) return
  const version = execFileSync(pinned, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim()
  requireNode(version, OLDEST_NODE_TO_RUN, 'to run')
}

/** Whether tap is built without the plugins that .taprc turns off (`"!name"`); `npm ci` brings it with all of them. */
function tapIsBuilt() {
  const built = readFileSync(join(modules, '@tapjs/test/test-built/dist/esm/index.js'), 'utf8')
  const off = readFileSync(join(root, '.taprc'), 'utf8').matchAll(/"!(\S+)"/g)
  return [...off].every(([, plugin]) => !built.includes(`from "${plugin}"`))
}

async function buildTap() {
  say('building tap with the plugins of .taprc')
  await run('tap build', join(binaries, 'tap'), ['build'], { PATH: binaries + delimiter + pathWithoutBinaries() })
  if (!tapIsBuilt()) throw new Hopeless('`npx tap build` did not build tap with the plugins of .taprc')
}

async function provideRedis() {
  let redis = findRedis(process.env.PATH)
  if (redis.status === 'missing') {
    await install('redis-server', 'install Redis 7.0 or newer, or Valkey 7.2 or newer, and start again')
    redis = findRedis(process.env.PATH)
  }
  if (redis.status === 'too-old')
    throw new Hopeless(`${tooOld(redis)} See https://redis.io/docs/latest/operate/oss_and_stack/install/`)
  if (redis.status === 'missing') throw new Hopeless('redis-server is still not on PATH after the installation')
}

/** The alert rules are tested with it. Without it, that test fails and says so, and the others are worth running. */
async function providePromtool() {
  if (isOnPath('promtool')) return
  try {
    await install('promtool', 'install Prometheus, whose alert rules are tested with it')
  } catch (error) {
    if (!(error instanceof Hopeless)) throw error
    say(error.message)
  }
}

/** Installs a program, or throws Hopeless with what a person can do; `advice` where there is no package manager. */
async function install(program, advice) {
  const manager = packageManagers.find(({ command }) => isOnPath(command))
  if (manager === undefined) throw new Hopeless(`no ${program} on PATH: ${advice}`)
  const packages = manager.packages[program]
  const isRoot = process.getuid?.() === 0
  const elevate = manager.asRoot && !isRoot ? 'sudo ' : ''
  const command = `${elevate}${manager.command} install ${packages[0]}`
  if (!isRoot && process.env.CI !== 'true' && !(await agreed(program, command))) {
    throw new Hopeless(`no ${program} on PATH. Install one and start again:  ${command}`)
  }
  for (const name of packages) {
    say(`installing ${name} (${manager.command})`)
    const shell = ['sh', '-c', manager.script(name)]
    const [file, ...args] = elevate === '' ? shell : ['sudo', ...shell]
    const installed = await run(`${manager.command} install ${name}`, file, args).then(
      () => true,
      (error) => say(error.message)
    )
    if (installed) return
  }
  throw new Hopeless(`the installation of ${program} failed (see above). Install it and start again:  ${command}`)
}

/** Asks when there is someone to ask. */
async function agreed(program, command) {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await new Promise((resolve) => {
    terminal.once('close', () => resolve('no'))
    terminal.question(`headgate: no ${program} on PATH. Run "${command}" now? [Y/n] `, resolve)
  })
  terminal.close()
  return /^(y|yes|)$/i.test(answer.trim())
}

/**
 * The package would start a daemon on port 6379 and enable it for every boot. Debian asks /usr/sbin/policy-rc.d before
 * it starts one; status 101 says no. One that is there already is left alone.
 */
function aptScript(name) {
  return `
    set -e
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      trap "rm -f $policy" EXIT
      trap 'exit 1' INT TERM
      printf '#!/bin/sh\\nexit 101\\n' > $policy
      chmod 755 $policy
    fi
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends ${name} < /dev/null > /dev/null
    if [ -d /run/systemd/system ]; then now=--now; fi
    if command -v systemctl > /dev/null; then systemctl disable --quiet $now ${name} || true; fi
  `
}

/** npm as the machine has it: the one in use may be about to replace the Node it runs on. */
function npm(args) {
  return run(`npm ${args[0]}`, 'npm', args, { PATH: pathWithoutBinaries() })
}

function pathWithoutBinaries() {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return folders.filter((folder) => !folder.endsWith(join('node_modules', '.bin'))).join(delimiter)
}

function isOnPath(command) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, command)))
}

/** Runs a command in the project with its errors shown; rejects, naming it `what`, unless it ends with 0. */
async function run(what, file, args, env = {}) {
  const child = spawn(file, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['inherit', 'ignore', 'inherit'],
    shell: process.platform === 'win32'
  })
  // Ctrl-C reaches the child as well: let it clean up, then leave with it.
  const wait = () => undefined
  process.on('SIGINT', wait)
  const outcome = await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(code === 0 ? undefined : `ended with ${signal ?? code}`))
  })
  process.off('SIGINT', wait)
  if (outcome !== undefined) throw new Hopeless(`${what}: ${outcome} (see above)`)
}
