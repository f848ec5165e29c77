/**
 * What the gateway costs, in CPU time of its process, beside a bare Fastify route on the same Node in the same run.
 * With --check it exits 1 unless the limits below hold. Redis: a private one, `appendfsync always`.
 *
 * Machines differ by more than a factor of two, and so does one machine from hour to hour. The limit per event is meant
 * for a machine on which the bare route costs 12 µs, and the figure is scaled to that.
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
const bareMicros = 12
const rounds = 5
// Until the engine has compiled what is hot: the larger program takes longer.
const warmUpRounds = 3
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
    // As `npm start` and the Dockerfile run it.
    execArgv: ['--max-semi-space-size=64'],
    env: {
      ...process.env,
      REDIS_URL: `unix://${join(dir, 'redis.sock')}`,
      TOPOLOGY: 'shop',
      API_KEYS: JSON.stringify([{ name: 'bench', sha256: [sha256], scopes: ['publish'] }]),
      CONSUMERS: 'off',
      LOG_LEVEL: 'error',
      RATE_LIMIT_PER_ADDRESS: '0',
      COMMAND_TIMEOUT_MS: '20000'
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
  const perBare: number[] = []
  const scaled: number[] = []
  const perEvent: number[] = []
  const perSecond: number[] = []
  for (let round = -warmUpRounds; round < rounds; round += 1) {
    const own = await measure(gateway, '/events', singles, single)
    const other = await measure(bare, '/events', singles, single)
    await redis.flushall()
    if (round < 0) continue
    ratios.push(own.perRequest / other.perRequest)
    perSingle.push(own.perRequest)
    perBare.push(other.perRequest)
  }
  for (let round = -warmUpRounds; round < rounds; round += 1) {
    const batched = await measure(gateway, '/events/batch', batches, batch)
    const other = await measure(bare, '/events', singles, single)
    await redis.flushall()
    if (round < 0) continue
    perEvent.push(batched.perRequest / batchSize)
    scaled.push((batched.perRequest / batchSize) * (bareMicros / other.perRequest))
    perSecond.push(batched.perSecond * batchSize)
  }
  redis.disconnect()
  const ratio = median(ratios)
  const micros = median(scaled)
  const line = (name: string, text: string) => console.log(`${name.padEnd(30)}${text}`)
  line('bare route', `${median(perBare).toFixed(1)} µs CPU per request`)
  line(
    'single POST, 64 connections',
    `${median(perSingle).toFixed(1)} µs CPU, ${ratio.toFixed(2)} x the bare route (limit ${limits.singleRatio})`
  )
  line(
    `batch of ${batchSize}`,
    `${median(perEvent).toFixed(2)} µs CPU per event, ${Math.round(median(perSecond))} events/s`
  )
  line('  scaled to a 12 µs route', `${micros.toFixed(2)} µs CPU per event (limit ${limits.batchMicros})`)
  return ratio <= limits.singleRatio && micros <= limits.batchMicros
}

try {
  const holds = await main()
  if (process.argv.includes('--check') && !holds) process.exitCode = 1
} finally {
  for (const child of children) child.kill('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
}
