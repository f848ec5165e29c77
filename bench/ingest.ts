/**
 * npm run bench: what the gateway costs, in CPU time of its process, beside a bare Fastify route in the same run.
 * With --check it exits 1 unless the limits below hold. Redis: a private one, `appendfsync always`.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { load } from './load.ts'

const limits = { singleRatio: 1.5, batchMicros: 4 }
const rounds = 5
const singles = 20_000
const batches = 1_000
const batchSize = 100

const key = randomBytes(16).toString('hex')
const dir = mkdtempSync(join(tmpdir(), 'hg-bench-'))
const children: ChildProcess[] = []

async function startRedis(): Promise<Redis> {
  const socket = join(dir, 'redis.sock')
  const args = [
    '--port',
    '0',
    '--unixsocket',
    socket,
    '--dir',
    dir,
    '--save',
    '',
    '--appendonly',
    'yes',
    '--appendfsync',
    'always'
  ]
  children.push(spawn('redis-server', args, { stdio: 'ignore' }))
  const redis = new Redis({ path: socket, retryStrategy: () => 50 })
  redis.on('error', () => {})
  await redis.ping()
  return redis
}

async function startProgram(kind: 'gateway' | 'bare'): Promise<{ child: ChildProcess; port: number }> {
  const sha256 = createHash('sha256').update(key).digest('hex')
  const child = fork(new URL('program.ts', import.meta.url), [kind], {
    env: {
      ...process.env,
      REDIS_URL: `unix://${join(dir, 'redis.sock')}`,
      TOPOLOGY: 'shop',
      API_KEYS: JSON.stringify([{ name: 'bench', sha256: [sha256], scopes: ['publish'] }]),
      CONSUMERS: 'off',
      LOG_LEVEL: 'error'
    }
  })
  children.push(child)
  const [message] = (await once(child, 'message')) as [{ port: number }]
  return { child, port: message.port }
}

/** CPU time the process has used, in microseconds. */
async function cpuMicros(child: ChildProcess): Promise<number> {
  child.send('cpu')
  const [message] = (await once(child, 'message')) as [{ cpu: NodeJS.CpuUsage }]
  return message.cpu.user + message.cpu.system
}

let run = 0
function order(n: number): object {
  const id = `${run}-${n}`
  const items = [{ productId: `product-${n % 97}`, quantity: 1 + (n % 3), unitPrice: 19.9 }]
  const data = {
    orderId: id,
    userId: `user-${n % 1_000}`,
    amount: 19.9,
    currency: 'EUR',
    items,
    placedAt: '2026-01-01T12:00:00Z'
  }
  return { id, source: '/bench', type: 'orders.order.created', data }
}

async function measure(
  program: { child: ChildProcess; port: number },
  path: string,
  requests: number,
  body: (n: number) => string
) {
  run += 1
  const before = await cpuMicros(program.child)
  const seconds = await load({
    port: program.port,
    path,
    key,
    connections: path === '/events' ? 64 : 8,
    requests,
    body
  })
  const micros = (await cpuMicros(program.child)) - before
  return { perRequest: micros / requests, perSecond: requests / seconds }
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

async function main(): Promise<boolean> {
  const redis = await startRedis()
  const gateway = await startProgram('gateway')
  const bare = await startProgram('bare')
  const single = (n: number) => JSON.stringify(order(n))
  const batch = (n: number) => JSON.stringify(Array.from({ length: batchSize }, (_, i) => order(n * batchSize + i)))
  const ratios: number[] = []
  const perSingle: number[] = []
  const perEvent: number[] = []
  const perSecond: number[] = []
  for (let round = -1; round < rounds; round += 1) {
    const own = await measure(gateway, '/events', singles, single)
    const other = await measure(bare, '/events', singles, single)
    const batched = await measure(gateway, '/events/batch', batches, batch)
    await redis.flushall()
    if (round < 0) continue // The first round compiles and warms up.
    ratios.push(own.perRequest / other.perRequest)
    perSingle.push(own.perRequest)
    perEvent.push(batched.perRequest / batchSize)
    perSecond.push(batched.perSecond * batchSize)
  }
  redis.disconnect()
  const ratio = median(ratios)
  const micros = median(perEvent)
  console.log(
    `single POST, 64 connections   ${median(perSingle).toFixed(1)} µs CPU, ${ratio.toFixed(2)} x a bare route   (limit ${limits.singleRatio})`
  )
  console.log(
    `batch of ${batchSize}                  ${micros.toFixed(2)} µs CPU per event   (limit ${limits.batchMicros}), ${Math.round(median(perSecond))} events/s`
  )
  return ratio <= limits.singleRatio && micros <= limits.batchMicros
}

try {
  const holds = await main()
  if (process.argv.includes('--check') && !holds) process.exitCode = 1
} finally {
  for (const child of children) child.kill('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
}
