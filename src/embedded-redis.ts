/**
 * A private Redis for a gateway that was started without one: a child process that listens on a Unix socket only, and
 * writes every command to disk before it answers. It belongs to the gateway that holds the data directory:
 *
 *   locked -> (left-over server ended) -> running -> [ended unexpectedly -> waiting -> running]* -> stopping -> unlocked
 *
 * Every acknowledged write is in the append-only file, so a server left over from a gateway that was killed is simply
 * ended and started anew, under supervision. Holding the lock is what keeps two servers off one append-only file.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, closeSync, lstatSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { BaseLogger } from 'pino'
import { identify, liveProcess, noteProcess, takeLock } from './directory-lock.ts'
import { findRedis, tooOld } from './redis-binary.mjs'
import { StartupError } from './startup-error.ts'

export interface EmbeddedRedis {
  /** `unix:///absolute/path.sock` */
  url: string
  socket: string
  /** Ends the server, waits until it is gone, and frees the directory. Safe to call twice. Nothing runs afterwards. */
  stop: () => Promise<void>
}

type Log = Pick<BaseLogger, 'info' | 'warn' | 'error'>

/** The kernel refuses longer socket paths at 108 bytes; ioredis and Redis need none of the rest. */
const LONGEST_SOCKET_PATH = 100
/** A server that ended by itself starts again at once, then after twice as long each time, up to the last of these. */
const RESTART_MS = { first: 100, last: 5_000 }
/** Up this long, an earlier crash no longer counts. */
const STEADY_MS = 30_000
/** SIGTERM makes Redis flush and leave, in milliseconds; beyond this it hangs, and everything answered is on disk. */
const STOP_DEADLINE_MS = 10_000

/**
 * Creates `dataDir` (0700) if need be, takes its lock, and starts the server; resolves when it answers, however long it
 * loads. Throws StartupError: another gateway holds the directory, no Redis is installed, it is too old, or it fails.
 */
export async function startEmbeddedRedis({
  dataDir,
  log,
  path = process.env.PATH
}: {
  dataDir: string
  log: Log
  path?: string
}): Promise<EmbeddedRedis> {
  const dir = resolve(dataDir)
  const binary = redisBinary(path)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const lock = takeLock(join(dir, 'gateway.lock'))
  if (lock.status === 'held') {
    throw new StartupError(
      `${relative('', dir) || dir} is in use by another Headgate (pid ${lock.pid}): stop that one first, or start this one in another folder.`
    )
  }
  const server = new Server(binary, dir, log)
  try {
    await server.start()
  } catch (error) {
    await server.stop()
    lock.release()
    throw error
  }
  return {
    url: `unix://${server.socket}`,
    socket: server.socket,
    async stop() {
      await server.stop()
      lock.release()
    }
  }
}

function redisBinary(path: string | undefined): string {
  const redis = findRedis(path)
  if (redis.status === 'found') return redis.file
  if (redis.status === 'too-old') throw new StartupError(tooOld(redis))
  throw new StartupError(
    'No redis-server or valkey-server on PATH: run `node scripts/bootstrap.mjs`, or set REDIS_URL.'
  )
}

/** The child process and its supervision. */
class Server {
  readonly socket: string
  readonly #binary: string
  readonly #dir: string
  readonly #log: Log
  readonly #pidFile: string
  readonly #stopping = new AbortController()
  #child: ChildProcess | undefined
  #supervision: Promise<void> = Promise.resolve()

  constructor(binary: string, dir: string, log: Log) {
    this.#binary = binary
    this.#dir = dir
    this.#log = log
    this.#pidFile = join(dir, 'redis.pid')
    this.socket = socketPath(dir)
  }

  async start(): Promise<void> {
    await endLeftOver(this.#pidFile, this.#log)
    process.on('exit', this.#endWithProcess)
    const child = this.#spawn()
    await answering(child, this.socket, this.#dir)
    this.#supervision = this.#supervise(child)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    const child = this.#child
    if (child !== undefined && !hasEnded(child)) {
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      const deadline = setTimeout(() => child.kill('SIGKILL'), STOP_DEADLINE_MS)
      await ended
      clearTimeout(deadline)
    }
    await this.#supervision
    process.off('exit', this.#endWithProcess)
    rmSync(this.#pidFile, { force: true })
  }

  /** A process that leaves without `stop` (a failed start, process.exit) takes the server along. */
  readonly #endWithProcess = (): void => {
    this.#child?.kill('SIGTERM')
  }

  async #supervise(first: ChildProcess): Promise<void> {
    let child = first
    let waitMs = RESTART_MS.first
    for (;;) {
      const startedAt = performance.now()
      if (!hasEnded(child)) await once(child, 'exit').catch(() => undefined)
      if (this.#stopping.signal.aborted) return
      if (performance.now() - startedAt > STEADY_MS) waitMs = RESTART_MS.first
      const how = child.signalCode ?? child.exitCode
      this.#log.error({ how, waitMs, reason: lastLogLine(this.#dir) }, 'the embedded Redis ended, starting it again')
      await pause(waitMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
      if (this.#stopping.signal.aborted) return
      waitMs = Math.min(waitMs * 2, RESTART_MS.last)
      try {
        child = this.#spawn()
      } catch (error) {
        // The directory is gone, or its disk is full: tried again like any other end.
        this.#log.error({ err: error }, 'the embedded Redis could not be started')
      }
    }
  }

  /** In a session of its own: Ctrl-C in the terminal reaches the gateway only, which ends the server last. */
  #spawn(): ChildProcess {
    const output = openSync(join(this.#dir, 'redis.log'), 'a', 0o600)
    const child = spawn(this.#binary, serverArguments(this.#dir, this.socket), {
      detached: true,
      stdio: ['ignore', output, output]
    })
    closeSync(output)
    // A binary that cannot be run has no pid and emits no exit.
    child.on('error', (error) => this.#log.error({ err: error }, 'the embedded Redis could not be started'))
    if (child.pid !== undefined) noteProcess(this.#pidFile, child.pid)
    this.#child = child
    return child
  }
}

function serverArguments(dir: string, socket: string): string[] {
  const settings = {
    port: '0',
    unixsocket: socket,
    unixsocketperm: '700',
    dir,
    appendonly: 'yes',
    appendfsync: 'always',
    'no-appendfsync-on-rewrite': 'no',
    save: '',
    'maxmemory-policy': 'noeviction',
    loglevel: 'warning'
  }
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
}

/**
 * `redis.sock` in the data directory, or, where that path is too long for a socket, one under this user's own folder in
 * the temporary directory, named after the data directory.
 */
function socketPath(dir: string): string {
  const inside = join(dir, 'redis.sock')
  if (Buffer.byteLength(inside) < LONGEST_SOCKET_PATH) return inside
  const { uid } = userInfo()
  const own = join(tmpdir(), `headgate-${uid}`)
  mkdirSync(own, { recursive: true, mode: 0o700 })
  if (lstatSync(own).uid !== uid) throw new StartupError(`${own} belongs to another user: remove it, or set TMPDIR.`)
  chmodSync(own, 0o700)
  return join(own, `${createHash('sha256').update(dir).digest('hex').slice(0, 16)}.sock`)
}

/** Ends the server of a gateway that was killed. Called under the lock, so nobody else starts one meanwhile. */
async function endLeftOver(pidFile: string, log: Log): Promise<void> {
  const left = liveProcess(pidFile)
  if (left === null) return
  log.warn({ pid: left.pid }, 'ending the embedded Redis that a killed gateway left behind')
  const deadline = performance.now() + STOP_DEADLINE_MS
  let signal: NodeJS.Signals | 0 = 'SIGTERM'
  while (identify(left.pid)?.startedAt === left.startedAt) {
    try {
      process.kill(left.pid, signal)
    } catch {
      // It has ended since the line above; the loop sees that.
    }
    signal = performance.now() > deadline ? 'SIGKILL' : 0
    await pause(10)
  }
}

/** Resolves when the server answers, its data loaded; throws with its own last words when it ends before. */
async function answering(child: ChildProcess, socket: string, dir: string): Promise<void> {
  const probe = new Redis({ path: socket, retryStrategy: () => 20, maxRetriesPerRequest: null })
  probe.on('error', () => undefined)
  const ended = once(child, 'exit').then(
    () => lastLogLine(dir),
    (error: Error) => error.message
  )
  try {
    const ready = new Promise<undefined>((resolve) => probe.once('ready', () => resolve(undefined)))
    const failure = await Promise.race([ended, ready])
    if (failure !== undefined) throw new StartupError(`The embedded Redis did not start: ${failure}`)
  } finally {
    probe.disconnect()
  }
}

function lastLogLine(dir: string): string {
  try {
    return readFileSync(join(dir, 'redis.log'), 'utf8').trimEnd().split('\n').at(-1) ?? ''
  } catch {
    return ''
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}
