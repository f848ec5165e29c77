import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { identify, liveProcess } from '../../src/directory-lock.ts'
import { startEmbeddedRedis } from '../../src/embedded-redis.ts'
import { StartupError } from '../../src/startup-error.ts'
import { until } from '../fixtures/until.ts'

const holderScript = new URL('../fixtures/embedded-holder.ts', import.meta.url).pathname

/** A data directory; whatever server its pid file names is ended, and the directory removed, when the test ends. */
function dataDirectory(t: Test): string {
  const parent = mkdtempSync(join(tmpdir(), 'hg-data-'))
  const dir = join(parent, '.headgate')
  t.teardown(() => {
    const left = liveProcess(join(dir, 'redis.pid'))
    if (left !== null) process.kill(left.pid, 'SIGKILL')
    rmSync(parent, { recursive: true, force: true })
  })
  return dir
}

function client(t: Test, socket: string): Redis {
  const redis = new Redis({ path: socket, retryStrategy: () => 10, maxRetriesPerRequest: null })
  redis.on('error', () => undefined)
  t.teardown(() => redis.disconnect())
  return redis
}

/** Lines logged at `error` and `warn`. */
function recordingLog() {
  const lines: string[] = []
  const record = (_fields: unknown, line?: string) => void lines.push(line ?? '')
  return { lines, info: () => undefined, warn: record, error: record }
}

interface Holder {
  child: ChildProcess
  pid: number
  /** The next line it prints. */
  line: () => Promise<string>
}

/** Another process that starts an embedded Redis on `dir`, in a process group of its own. */
function holder(t: Test, dir: string): Holder {
  const child = spawn(process.execPath, [holderScript, dir], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return { child, pid: child.pid ?? 0, line: async () => String((await lines.next()).value) }
}

async function killed(holder: Holder): Promise<void> {
  const ended = once(holder.child, 'exit')
  holder.child.kill('SIGKILL')
  await ended
}

function redisPid(dir: string): number {
  return liveProcess(join(dir, 'redis.pid'))?.pid ?? 0
}

const gone = (pid: number) => until(() => identify(pid) === null, { what: `process ${pid} is gone` })

t.test('it answers on a private socket and writes every command to disk first', async (t) => {
  const dir = dataDirectory(t)
  const embedded = await startEmbeddedRedis({ dataDir: dir, log: recordingLog() })
  t.teardown(embedded.stop)
  const redis = client(t, embedded.socket)

  t.equal(embedded.url, `unix://${join(dir, 'redis.sock')}`)
  t.equal(statSync(dir).mode & 0o777, 0o700)
  t.equal(statSync(embedded.socket).mode & 0o777, 0o700)
  for (const [setting, value] of [
    ['port', '0'],
    ['appendonly', 'yes'],
    ['appendfsync', 'always'],
    ['no-appendfsync-on-rewrite', 'no'],
    ['save', ''],
    ['maxmemory-policy', 'noeviction']
  ] as const) {
    t.same(await redis.config('GET', setting), [setting, value])
  }
})

t.test('stopping ends the server, frees the directory and leaves only the data', async (t) => {
  const dir = dataDirectory(t)
  const embedded = await startEmbeddedRedis({ dataDir: dir, log: recordingLog() })
  await client(t, embedded.socket).set('order', '1')
  const pid = redisPid(dir)
  await Promise.all([embedded.stop(), embedded.stop()])
  t.equal(identify(pid), null)
  t.same(readdirSync(dir).sort(), ['appendonlydir', 'redis.log'])

  const again = await startEmbeddedRedis({ dataDir: dir, log: recordingLog() })
  t.teardown(again.stop)
  t.equal(await client(t, again.socket).get('order'), '1')
})

t.test('a server that is killed starts again by itself, with its data', async (t) => {
  const dir = dataDirectory(t)
  const log = recordingLog()
  const embedded = await startEmbeddedRedis({ dataDir: dir, log })
  t.teardown(embedded.stop)
  const redis = client(t, embedded.socket)
  await redis.set('order', '1')
  const before = redisPid(dir)

  process.kill(before, 'SIGKILL')
  await until(() => redisPid(dir) !== 0 && redisPid(dir) !== before, { what: 'another server runs' })
  t.equal(await redis.get('order'), '1')
  t.match(log.lines, ['the embedded Redis ended, starting it again'])
})

t.test('when its directory is taken away it keeps trying, and the gateway still stops in order', async (t) => {
  const dir = dataDirectory(t)
  const log = recordingLog()
  const embedded = await startEmbeddedRedis({ dataDir: dir, log })
  const pid = redisPid(dir)
  rmSync(dir, { recursive: true })
  process.kill(pid, 'SIGKILL')
  await until(() => log.lines.includes('the embedded Redis could not be started'), { what: 'a restart that failed' })
  await embedded.stop()
  t.throws(() => statSync(dir), { code: 'ENOENT' })
})

t.test('stopping while it waits to start again starts nothing', async (t) => {
  const dir = dataDirectory(t)
  const log = recordingLog()
  const embedded = await startEmbeddedRedis({ dataDir: dir, log })
  process.kill(redisPid(dir), 'SIGKILL')
  await until(() => log.lines.length === 1, { what: 'its end is noticed' })
  await embedded.stop()
  t.equal(redisPid(dir), 0)
})

t.test('after SIGKILL of gateway and server the next start has every acknowledged write', async (t) => {
  const dir = dataDirectory(t)
  const first = holder(t, dir)
  t.equal(await first.line(), 'ready')
  const redis = client(t, join(dir, 'redis.sock'))
  const pid = redisPid(dir)
  for (let n = 1; n <= 100; n += 1) await redis.incr('orders')
  process.kill(first.pid, 'SIGKILL')
  process.kill(pid, 'SIGKILL')
  await gone(pid)
  await gone(first.pid)

  const embedded = await startEmbeddedRedis({ dataDir: dir, log: recordingLog() })
  t.teardown(embedded.stop)
  t.equal(await client(t, embedded.socket).get('orders'), '100')
})

t.test('the server of a killed gateway is replaced at the next start, and its data kept', async (t) => {
  const dir = dataDirectory(t)
  const first = holder(t, dir)
  t.equal(await first.line(), 'ready')
  await client(t, join(dir, 'redis.sock')).set('order', '1')
  const leftOver = redisPid(dir)
  await killed(first)
  t.ok(identify(leftOver), 'the server outlives a gateway that was killed')

  const log = recordingLog()
  const embedded = await startEmbeddedRedis({ dataDir: dir, log })
  t.teardown(embedded.stop)
  t.equal(identify(leftOver), null)
  t.match(log.lines, ['ending the embedded Redis that a killed gateway left behind'])
  t.equal(await client(t, embedded.socket).get('order'), '1')
})

t.test('a second gateway is refused while the first lives, and told which process holds the directory', async (t) => {
  const dir = dataDirectory(t)
  const embedded = await startEmbeddedRedis({ dataDir: dir, log: recordingLog() })
  t.teardown(embedded.stop)
  const pid = redisPid(dir)
  const second = holder(t, dir)
  t.match(await second.line(), `is in use by another Headgate (pid ${process.pid})`)
  t.equal(redisPid(dir), pid)
  t.equal(await client(t, embedded.socket).ping(), 'PONG')
})

t.test('of several gateways starting at once after a crash exactly one gets the directory', async (t) => {
  const dir = dataDirectory(t)
  const crashed = holder(t, dir)
  t.equal(await crashed.line(), 'ready')
  await killed(crashed)

  const lines = await Promise.all([1, 2, 3, 4].map(() => holder(t, dir).line()))
  t.equal(lines.filter((line) => line === 'ready').length, 1)
  t.equal(lines.filter((line) => line.includes('is in use by another Headgate')).length, 3)
})

t.test('a lock whose pid now belongs to another process is not held', async (t) => {
  const dir = dataDirectory(t)
  const embedded = await startEmbeddedRedis({ dataDir: dir, log: recordingLog() })
  await embedded.stop()
  writeFileSync(join(dir, 'gateway.lock'), JSON.stringify({ pid: process.ppid, startedAt: 'earlier' }))
  const again = await startEmbeddedRedis({ dataDir: dir, log: recordingLog() })
  t.same(JSON.parse(readFileSync(join(dir, 'gateway.lock'), 'utf8')), identify(process.pid))
  await again.stop()
})

t.test(
  'Ctrl-C in the terminal reaches the gateway and not its server, which still answers while it shuts down',
  async (t) => {
    const dir = dataDirectory(t)
    const gateway = holder(t, dir)
    t.equal(await gateway.line(), 'ready')
    const pid = redisPid(dir)
    process.kill(-gateway.pid, 'SIGINT')
    t.equal(await gateway.line(), 'PONG')
    await gone(gateway.pid)
    t.equal(identify(pid), null)
  }
)

t.test('a gateway that exits without stopping takes its server along', async (t) => {
  const dir = dataDirectory(t)
  const gateway = holder(t, dir)
  t.equal(await gateway.line(), 'ready')
  const pid = redisPid(dir)
  gateway.child.kill('SIGTERM')
  await gone(gateway.pid)
  await gone(pid)
})

t.test('a directory whose path is too long for a socket gets its socket elsewhere, private to this user', async (t) => {
  const dir = join(dataDirectory(t), 'd'.repeat(120))
  const embedded = await startEmbeddedRedis({ dataDir: dir, log: recordingLog() })
  t.teardown(embedded.stop)
  t.ok(Buffer.byteLength(embedded.socket) < 107)
  t.equal(statSync(join(embedded.socket, '..')).mode & 0o777, 0o700)
  t.equal(await client(t, embedded.socket).ping(), 'PONG')
})

t.test('a server that cannot start is reported with its own last words, and the directory is free again', async (t) => {
  const dir = dataDirectory(t)
  await (await startEmbeddedRedis({ dataDir: dir, log: recordingLog() })).stop()
  const manifest = join(dir, 'appendonlydir', 'appendonly.aof.manifest')
  const intact = readFileSync(manifest)
  writeFileSync(manifest, 'nonsense\n')
  await t.rejects(startEmbeddedRedis({ dataDir: dir, log: recordingLog() }), {
    name: 'StartupError',
    message: /did not start: .*AOF manifest/
  })
  writeFileSync(manifest, intact)
  const again = await startEmbeddedRedis({ dataDir: dir, log: recordingLog() })
  await again.stop()
})

t.test('without a Redis, or with one that is too old, it says so and touches nothing', async (t) => {
  const dir = dataDirectory(t)
  const bin = t.testdir({
    'redis-server': '#!/bin/sh\necho "Redis server v=6.2.16 sha=00000000:0 malloc=libc bits=64"\n'
  })
  await t.rejects(startEmbeddedRedis({ dataDir: dir, log: recordingLog(), path: '' }), StartupError)
  chmodSync(join(bin, 'redis-server'), 0o755)
  await t.rejects(startEmbeddedRedis({ dataDir: dir, log: recordingLog(), path: bin }), {
    name: 'StartupError',
    message: /redis-server is Redis 6\.2\.16, which is too old: Headgate needs Redis 7\.0 or Valkey 7\.2 or newer/
  })
  t.throws(() => statSync(dir), { code: 'ENOENT' })
})
