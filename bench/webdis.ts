/** Webdis, a plain HTTP server in front of Redis (Debian package `webdis`): what a POST per event costs without Headgate. */
import { spawn, spawnSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort, type RedisServer } from '../test/fixtures/redis.ts'
import { until } from '../test/fixtures/until.ts'
import type { Trial } from './trial.ts'

/** Starts it over that Redis with two threads, its default; undefined when it is not installed. */
export async function startWebdis(t: Trial, redis: RedisServer): Promise<number | undefined> {
  if (spawnSync('which', ['webdis']).status !== 0) return undefined
  const port = await freePort()
  const file = join(redis.dir, 'webdis.json')
  await writeFile(
    file,
    JSON.stringify({
      redis_host: redis.socket,
      http_host: '127.0.0.1',
      http_port: port,
      threads: 2,
      daemonize: false,
      database: 0,
      verbosity: 0,
      logfile: join(redis.dir, 'webdis.log')
    })
  )
  const child = spawn('webdis', [file], { stdio: 'ignore' })
  t.teardown(() => child.kill('SIGKILL'))
  const answers = async () => (await fetch(`http://127.0.0.1:${port}/PING`)).status === 200
  await until(answers, { what: 'webdis answers' })
  return port
}

/** An XADD of these fields as webdis takes it. */
export function xadd(stream: string, fields: readonly string[]): string {
  const command = ['XADD', stream, '*', ...fields].map(encodeURIComponent).join('/')
  return `POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: ${command.length}\r\n\r\n${command}`
}
