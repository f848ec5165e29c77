import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { freePort } from '../fixtures/redis.ts'
import { until } from '../fixtures/until.ts'

const run = promisify(execFile)
const server = new URL('../../src/server.ts', import.meta.url).pathname
const demo = new URL('../../scripts/demo.ts', import.meta.url).pathname

interface Gateway {
  child: ChildProcess
  /** All it has printed. */
  output: () => string
  /** The lines of the banner that are to be pasted. */
  lines: () => string[]
}

/** What `npm start` runs, in a directory of its own. */
async function start(t: { teardown: (fn: () => unknown) => void }, cwd: string, port: number): Promise<Gateway> {
  const child = spawn(process.execPath, [server], {
    cwd,
    env: { PATH: process.env.PATH, EMBEDDED_REDIS: 'on', PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    await once(child, 'exit')
  })
  let text = ''
  child.stdout.on('data', (bytes) => {
    text += bytes
  })
  child.stderr.on('data', (bytes) => {
    text += bytes
  })
  await until(async () => text.includes('/admin/lag'), { deadlineMs: 60_000, what: 'the banner' })
  return {
    child,
    output: () => text,
    lines: () =>
      text
        .split('\n')
        .filter((line) => line.startsWith('    curl '))
        .map((line) => line.trim())
  }
}

async function directory(t: { teardown: (fn: () => unknown) => void }): Promise<string> {
  const cwd = await mkdtemp(join(tmpdir(), 'hg-start-'))
  t.teardown(() => rm(cwd, { recursive: true, force: true }))
  return cwd
}

const paste = async (cwd: string, line = '') => JSON.parse((await run('sh', ['-c', line], { cwd })).stdout)

t.test('the printed lines work as pasted, and the order survives SIGKILL of everything', async (t) => {
  const cwd = await directory(t)
  const port = await freePort()
  const first = await start(t, cwd, port)
  const [send, see, lag] = first.lines()
  const stored = await paste(cwd, send)
  t.match(stored, { stream: 'orders:order:created', duplicate: false, durability: 'fsync' })
  const done = async () => {
    const { items } = await paste(cwd, see)
    return items[0]?.groups.order_processors.state === 'done' && items[0]
  }
  const seen = await until(done, { deadlineMs: 30_000, what: 'the order to be processed' })
  t.match(seen, { entryId: stored.entryId })
  t.match((await paste(cwd, lag)).items[0], { unread: 0, pending: 0, dead: 0 })
  t.match(await paste(cwd, send), { entryId: stored.entryId, duplicate: true }, 'pasted twice it is the same event')

  const redisPid = JSON.parse(await readFile(join(cwd, '.headgate/redis.pid'), 'utf8')).pid
  process.kill(redisPid, 'SIGKILL')
  first.child.kill('SIGKILL')
  await once(first.child, 'exit')
  const second = await start(t, cwd, port)
  t.match((await paste(cwd, see)).items[0], { entryId: stored.entryId })
  t.match(await paste(cwd, send), { entryId: stored.entryId, duplicate: true }, 'and it is still remembered')
  t.notMatch(second.output(), /error/i)
})

t.test('the demo processes 18,532 invoices to the cent, and a second run stores nothing', async (t) => {
  const cwd = await directory(t)
  const port = await freePort()
  await start(t, cwd, port)
  const env = { PATH: process.env.PATH, PORT: String(port) }
  const first = await run(process.execPath, [demo], { cwd, env })
  const lines = (text: string) =>
    Object.fromEntries(text.split('\n').map((line) => line.split(/ {2,}/) as [string, string]))
  const totals = { processed: '18532', dead: '0', amount: '8,911,407.90 in the order hashes, 8,911,407.90 in the file' }
  t.match(lines(first.stdout), { accepted: '18532', duplicates: '0', ...totals })
  const second = await run(process.execPath, [demo], { cwd, env })
  t.match(lines(second.stdout), { accepted: '0', duplicates: '18532', ...totals })
})

t.test('without settings outside npm start, what is missing is said in one line each', async (t) => {
  const cwd = await directory(t)
  const failed = await run(process.execPath, [server], { cwd, env: { PATH: process.env.PATH } }).catch((err) => err)
  t.equal(failed.code, 1)
  const names = failed.stderr
    .trim()
    .split('\n')
    .map((line: string) => line.split(' ')[0])
  t.same(names, ['REDIS_URL', 'TOPOLOGY', 'API_KEYS'])
})

t.test('a taken port and a directory in use are said plainly', async (t) => {
  const cwd = await directory(t)
  const port = await freePort()
  const { child } = await start(t, cwd, port)
  const again = await run(process.execPath, [server], {
    cwd,
    env: { PATH: process.env.PATH, EMBEDDED_REDIS: 'on' }
  }).catch((err) => err)
  t.equal(again.code, 1)
  t.match(again.stderr, new RegExp(`^.headgate is in use by another Headgate \\(pid ${child.pid}\\)`))
  const other = await directory(t)
  const taken = await run(process.execPath, [server], {
    cwd: other,
    env: { PATH: process.env.PATH, EMBEDDED_REDIS: 'on', PORT: String(port) }
  }).catch((err) => err)
  t.equal(taken.code, 1)
  t.match(taken.stderr, new RegExp(`^Port ${port} is taken by another program`))
})

t.test('SIGTERM ends it in order, with exit status 0 and no Redis left behind', async (t) => {
  const cwd = await directory(t)
  const { child, output } = await start(t, cwd, await freePort())
  const redisPid = JSON.parse(await readFile(join(cwd, '.headgate/redis.pid'), 'utf8')).pid
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  t.equal(code, 0)
  t.match(output(), /stopped\n$/)
  t.throws(() => process.kill(redisPid, 0), { code: 'ESRCH' })
})
