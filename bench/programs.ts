import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { startFlags } from './start-flags.ts'
import type { Trial } from './trial.ts'

export const key = 'a key for benchmarks'.replaceAll(' ', '-')

export interface Program {
  port: number
  /** CPU time used so far, in microseconds, and what was noted since it was last asked. */
  ask: () => Promise<{ cpuMicros: number; delays: number[] }>
}

/** Starts program.ts, as `npm start` would be, in a process of its own; it ends with the trial. */
export async function startProgram(
  t: Trial,
  kind: 'gateway' | 'bare' | 'echo',
  redisUrl: string,
  execArgv = startFlags
): Promise<Program> {
  const sha256 = createHash('sha256').update(key).digest('hex')
  const child = fork(new URL('program.ts', import.meta.url), [kind], {
    execArgv: [...execArgv],
    env: {
      PATH: process.env.PATH,
      REDIS_URL: redisUrl,
      TOPOLOGY: 'given',
      API_KEYS: JSON.stringify([{ name: 'bench', sha256: [sha256], scopes: ['publish'] }]),
      CONSUMERS: kind === 'echo' ? 'on' : 'off',
      LOG_LEVEL: 'error',
      RATE_LIMIT_PER_ADDRESS: '0',
      COMMAND_TIMEOUT_MS: '20000'
    }
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [{ port }] = (await once(child, 'message')) as [{ port: number }]
  return {
    port,
    async ask() {
      child.send('ask')
      const [{ cpu, delays }] = (await once(child, 'message')) as [{ cpu: NodeJS.CpuUsage; delays: number[] }]
      return { cpuMicros: cpu.user + cpu.system, delays }
    }
  }
}
