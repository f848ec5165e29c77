import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, cp, lstat, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { keysJson, testKeys } from '../fixtures/app.ts'
import { post } from '../fixtures/http.ts'
import { freePort, testRedis } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

/** The Dockerfile's instructions, continued lines joined, without comments. */
async function instructions(): Promise<{ name: string; rest: string }[]> {
  const text = await readFile(join(root, 'Dockerfile'), 'utf8')
  const lines = text
    .replace(/^#.*\n/gm, '')
    .replaceAll('\\\n', ' ')
    .split('\n')
  return lines
    .filter((line) => line.trim() !== '')
    .map((line) => /^(?<name>[A-Z]+) +(?<rest>.*)$/.exec(line)?.groups as { name: string; rest: string })
}

const all = await instructions()
const only = (name: string) => all.filter((one) => one.name === name).map(({ rest }) => rest.trim())
const command = JSON.parse(only('CMD')[0] ?? '') as string[]
const copies = only('COPY').map((rest) => {
  const words = rest.split(/ +/)
  return { sources: words.slice(0, -1), to: words.at(-1) as string }
})

/** A directory as the image's /app, made by the Dockerfile's own steps and readable only. */
async function image(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'hg-image-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  for (const { sources, to } of copies) {
    for (const source of sources)
      await cp(join(root, source), join(dir, to === './' ? source : to), { recursive: true })
  }
  const [install = ''] = only('RUN')[0]?.split(' && ') ?? []
  const [npm = '', ...args] = install.split(' ')
  // What tap puts into the environment of Node is not meant for npm.
  const env = { ...process.env, NODE_OPTIONS: '', npm_config_prefer_offline: 'true' }
  await run(npm, args, { cwd: dir, env })
  await run('chmod', ['-R', 'a=rX', dir])
  await chmod(dir, 0o555)
  return dir
}

/** Where this test is root, the process is not: root may write what is read-only. */
async function unprivileged(t: Test): Promise<{ node: string; uid?: number; gid?: number }> {
  if (process.getuid?.() !== 0) return { node: process.execPath }
  const dir = await mkdtemp(join(tmpdir(), 'hg-node-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  await chmod(dir, 0o755)
  await copyFile(process.execPath, join(dir, 'node'))
  return { node: join(dir, 'node'), uid: 1000, gid: 1000 }
}

async function listing(dir: string): Promise<string[]> {
  const paths = (await readdir(dir, { recursive: true })).filter((path) => !path.startsWith('node_modules'))
  return Promise.all(paths.sort().map(async (path) => `${path} ${(await lstat(join(dir, path))).mtimeMs}`))
}

t.test('what the Dockerfile copies and installs runs, healthy, as a user that can write nothing', async (t) => {
  const { url, redis } = await testRedis(t, { port: true })
  const [dir, user, port] = await Promise.all([image(t), unprivileged(t), freePort()])
  const before = await listing(dir)
  const env = {
    ...Object.fromEntries((only('ENV')[0] ?? '').split(' ').map((pair) => pair.split('='))),
    // On every address only inside a container.
    HOST: '127.0.0.1',
    PORT: String(port),
    PATH: String(process.env.PATH),
    REDIS_URL: url,
    TOPOLOGY: 'src/shop/topology.ts',
    API_KEYS: keysJson(testKeys)
  }
  const { node, ...owner } = user
  // Through `env`, because tap has every Node write a report when it ends, and this one cannot write.
  const started = ['-u', 'NODE_OPTIONS', node, ...command.slice(1)]
  const child = spawn('env', started, { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'], ...owner })
  t.teardown(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (output += bytes))
  const healthy = async () => {
    if (child.exitCode !== null) return true
    const [, probe] = /CMD (\[.*\])/.exec(only('HEALTHCHECK')[0] ?? '') ?? []
    return run('env', ['-u', 'NODE_OPTIONS', node, ...(JSON.parse(probe ?? '[]') as string[]).slice(1)], {
      env,
      ...owner
    })
  }
  await until(healthy, { deadlineMs: 30_000, what: 'the health check passes' })
  t.equal(child.exitCode, null, 'it runs')
  const data = { orderId: 'o-1', userId: 'u-1', amount: 1, items: [], placedAt: '2026-01-01T00:00:00Z' }
  t.match(await post(port, JSON.stringify({ type: 'orders.order.created', data })), { status: 202 })
  await until(() => redis.hget('order:o-1', 'status'), { what: 'the shop has handled the order' })
  child.kill('SIGTERM')
  t.equal((await once(child, 'close'))[0], 0)
  t.notMatch(output, /EACCES|EROFS|EPERM/)
  t.same(await listing(dir), before, 'nothing was written')
})

t.test('Node is the first process, unprivileged by number, with the flags of npm start', async (t) => {
  t.match(only('FROM'), [/^node:24-slim$/])
  t.match(only('USER'), [/^[1-9]\d*$/])
  t.equal(command[0], 'node', 'exec form: signals reach it')
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
  t.equal(command.join(' '), scripts.start.replace(/^EMBEDDED_REDIS=on /, ''))
  t.match(only('EXPOSE'), ['3000'])
  t.match(only('ENV'), [/\bPORT=3000\b/])
})

t.test('the build context holds what the Dockerfile copies, and nothing else', async (t) => {
  const lines = (await readFile(join(root, '.dockerignore'), 'utf8')).split('\n').filter((line) => !/^(#|$)/.test(line))
  t.equal(lines[0], '*')
  const kept = lines.slice(1).map((line) => line.replace(/^!/, ''))
  t.same(new Set(kept), new Set(copies.flatMap(({ sources }) => sources)))
})
