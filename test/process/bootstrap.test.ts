/**
 * scripts/bootstrap.mjs in copies of the project, with a PATH that holds only what each test puts there. System package
 * managers are stood in for by scripts; npm, Node and tap are the real ones.
 */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'

const root = fileURLToPath(new URL('../..', import.meta.url))
const files = ['package.json', 'package-lock.json', '.npmrc', '.taprc', 'scripts/bootstrap.mjs', 'src/redis-binary.mjs']
/** What the machine has, without the Node that this project pins. */
const machinePath = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((folder) => !folder.endsWith(join('node_modules', '.bin')))

/** The environment of these tests without what npm, tap and a CI add to it. */
const plainEnv = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(CI|NODE_ENV|NODE_OPTIONS|npm_lifecycle_.*|_?TAP.*)$/.test(name))
)

interface Clone {
  dir: string
  /** A folder of commands, the whole PATH unless `run` is given another. */
  bin: string
  run: (options?: { path?: string[]; env?: Record<string, string>; nodeArguments?: string[] }) => {
    status: number | null
    stderr: string
  }
}

/** The project as a fresh clone has it, as far as the bootstrap reads it; with this one's dependencies if asked. */
function clone(t: Test, { installed }: { installed: boolean }): Clone {
  const dir = mkdtempSync(join(tmpdir(), 'hg-clone-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  for (const folder of ['scripts', 'src', 'bin']) mkdirSync(join(dir, folder))
  for (const file of files) copyFileSync(join(root, file), join(dir, file))
  if (installed) symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'))
  const bin = join(dir, 'bin')
  symlinkSync('/bin/sh', join(bin, 'sh'))
  return {
    dir,
    bin,
    run({ path = [bin], env = {}, nodeArguments = [] } = {}) {
      const { status, stderr } = spawnSync(process.execPath, [...nodeArguments, 'scripts/bootstrap.mjs'], {
        cwd: dir,
        encoding: 'utf8',
        env: { ...plainEnv, ...env, PATH: path.join(delimiter) },
        stdio: ['ignore', 'pipe', 'pipe']
      })
      return { status, stderr }
    }
  }
}

function command(folder: string, name: string, script: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`)
  chmodSync(join(folder, name), 0o755)
}

/** A command that says it is a Redis of this version. */
const redisOf = (version: string) => `echo "Redis server v=${version} sha=00000000:0 malloc=libc bits=64 build=0"`
/** Makes the bootstrap believe that it runs without root, whoever runs the tests. */
const notRoot = ['--import', 'data:text/javascript,process.getuid=()=>1000']

t.test(
  'in a bare clone it installs the dependencies, the pinned Node and a tap that runs TypeScript as it is',
  async (t) => {
    const { dir, bin, run } = clone(t, { installed: false })
    command(bin, 'redis-server', redisOf('7.0.0'))
    const path = [bin, ...machinePath]
    const first = run({ path, env: { NODE_ENV: 'production' } })
    t.match(first, { status: 0, stderr: /headgate: installing dependencies/ })
    const pinned = spawnSync(join(dir, 'node_modules/.bin/node'), ['-v'], { encoding: 'utf8' })
    t.match(pinned.stdout, /^v24\./)
    mkdirSync(join(dir, 'test'))
    writeFileSync(join(dir, 'test/sample.test.ts'), "import t from 'tap'\nconst n: number = 1\nt.equal(n, 1)\n")
    const tap = spawnSync('npx', ['tap', 'run'], {
      cwd: dir,
      encoding: 'utf8',
      env: { ...plainEnv, PATH: path.join(delimiter) }
    })
    t.match(tap, { status: 0, stdout: /# \{ total: 1, pass: 1 \}/ })

    t.test('and then has nothing to do, nor to say', async (t) => {
      t.same(run(), { status: 0, stderr: '' })
    })

    t.test('and fetches the pinned Node again where its install script did not run', async (t) => {
      rmSync(join(dir, 'node_modules/node/bin/node'))
      t.match(run({ path }), { status: 0, stderr: /fetching the pinned Node/ })
      t.ok(existsSync(join(dir, 'node_modules/node/bin/node')))
    })
  }
)

t.test('it installs again when a package is missing or another version than the lock file asks for', async (t) => {
  const { dir, bin, run } = clone(t, { installed: false })
  command(bin, 'redis-server', redisOf('7.0.0'))
  command(bin, 'npm', 'echo "npm $*" >&2; exit 7')
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  const record = (change: (packages: Record<string, { version: string }>) => void) => {
    const packages = structuredClone(lock.packages)
    change(packages)
    mkdirSync(join(dir, 'node_modules'), { recursive: true })
    writeFileSync(join(dir, 'node_modules/.package-lock.json'), JSON.stringify({ packages }))
  }
  const stale = { status: 1, stderr: /npm ci --include=dev [\s\S]*headgate: npm ci: ended with 7/ }
  t.match(run(), stale, 'nothing is installed')
  record((packages) => delete packages['node_modules/fastify'])
  t.match(run(), stale, 'a package is missing')
  record((packages) => Object.assign(packages['node_modules/fastify'] ?? {}, { version: '0.0.0' }))
  t.match(run(), stale, 'a package has another version')
  record(() => undefined)
  t.notMatch(run().stderr, 'npm ci', 'everything is as locked')
})

t.test('a Redis or Valkey that is new enough is used as it is', async (t) => {
  for (const [name, version, line] of [
    ['redis-server', '7.0.0', redisOf('7.0.0')],
    ['redis-server', '8.2.1', redisOf('8.2.1')],
    ['valkey-server', '7.2.4', 'echo "Server v=7.2.4"; echo "Valkey server v=7.2.4 sha=0:0"']
  ] as const) {
    const { bin, run } = clone(t, { installed: true })
    command(bin, name, line)
    t.same(run(), { status: 0, stderr: '' }, `${name} ${version}`)
  }
})

t.test('a Redis that is too old is named, with what is needed', async (t) => {
  const { bin, run } = clone(t, { installed: true })
  command(bin, 'redis-server', redisOf('6.2.16'))
  command(bin, 'apt-get', 'echo touched >&2')
  const { status, stderr } = run({ env: { CI: 'true' } })
  t.equal(status, 1)
  t.match(
    stderr,
    /redis-server is Redis 6\.2\.16, which is too old: Headgate needs Redis 7\.0 or Valkey 7\.2 or newer\./
  )
  t.notMatch(stderr, 'touched')
})

t.test('a newer Valkey is found beside a Redis that is too old', async (t) => {
  const { bin, run } = clone(t, { installed: true })
  command(bin, 'redis-server', redisOf('6.2.16'))
  command(bin, 'valkey-server', 'echo "Valkey server v=8.0.1 sha=0:0 malloc=jemalloc"')
  t.same(run(), { status: 0, stderr: '' })
})

t.test('without a Redis, a terminal or root, it prints the command to run and installs nothing', async (t) => {
  const { bin, run } = clone(t, { installed: true })
  for (const name of ['apt-get', 'sudo']) command(bin, name, 'echo touched >&2')
  t.same(run({ nodeArguments: notRoot }), {
    status: 1,
    stderr: 'headgate: no redis-server on PATH. Install one and start again:  sudo apt-get install redis-server\n'
  })
})

t.test('without a Redis or a known package manager it says what to install', async (t) => {
  const { run } = clone(t, { installed: true })
  t.same(run({ env: { CI: 'true' } }), {
    status: 1,
    stderr: 'headgate: no redis-server on PATH: install Redis 7.0 or newer, or Valkey 7.2 or newer, and start again\n'
  })
})

t.test('before the tests it provides promtool, and goes on without where it cannot', async (t) => {
  const { bin, run } = clone(t, { installed: true })
  const env = { npm_lifecycle_event: 'pretest' }
  command(bin, 'redis-server', redisOf('7.0.0'))
  t.same(run({ env }), {
    status: 0,
    stderr: 'headgate: no promtool on PATH: install Prometheus, whose alert rules are tested with it\n'
  })
  command(bin, 'sudo', 'exec "$@"')
  command(bin, 'dnf', 'echo "dnf $*" >&2; exit 1')
  t.same(run({ env, nodeArguments: notRoot }), {
    status: 0,
    stderr: 'headgate: no promtool on PATH. Install one and start again:  sudo dnf install /usr/bin/promtool\n'
  })
  const failed = run({ env: { ...env, CI: 'true' }, nodeArguments: notRoot })
  t.match(failed, {
    status: 0,
    stderr: /dnf install -y -q \/usr\/bin\/promtool\n[\s\S]*installation of promtool failed/
  })
  command(bin, 'promtool', 'exit 1')
  t.same(run({ env }), { status: 0, stderr: '' })
})

t.test('in CI it installs a Redis without asking, the second choice where the first is unknown', async (t) => {
  const { bin, run } = clone(t, { installed: true })
  for (const tool of ['cat', 'chmod', 'rm']) symlinkSync(join('/bin', tool), join(bin, tool))
  // The package manager that knows Valkey only; sudo becomes the same user.
  command(bin, 'sudo', 'exec "$@"')
  command(
    bin,
    'dnf',
    `[ "$4" = redis ] || exit 1\nprintf '#!/bin/sh\\n${redisOf('7.4.1').replaceAll('"', '\\"')}\\n' > ${bin}/redis-server\nchmod 755 ${bin}/redis-server`
  )
  const { status, stderr } = run({ env: { CI: 'true' }, nodeArguments: notRoot })
  t.match(stderr, /installing valkey \(dnf\)[\s\S]*dnf install valkey: ended with 1[\s\S]*installing redis \(dnf\)/)
  t.equal(status, 0)
})
