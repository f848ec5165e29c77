/**
 * npm run demo: sends 18,532 real invoices as orders through the gateway that runs on this machine (`npm start` in
 * another terminal), waits until all are processed, and compares what Redis then holds with the file.
 *
 * Each order carries its invoice number as event id, so a second run within the stream's window stores nothing.
 */
import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { OrderCreated } from '../schemas/events/orders.ts'

if (existsSync('.env')) process.loadEnvFile()

const dataDir = '.headgate'
const base = process.env.HEADGATE_URL ?? `http://127.0.0.1:${process.env.PORT ?? 3000}`
const group = 'order_processors'
const batchSize = 100
const atOnce = 4

interface Invoice {
  id: string
  amount: number
  event: { id: string; source: string; type: string; time: string; data: OrderCreated }
}

function invoices(): Invoice[] {
  const lines = readFileSync(new URL('../data/online-retail-invoices.csv', import.meta.url), 'utf8')
    .trim()
    .split('\n')
  return lines.slice(1).map((line) => {
    const [id = '', date = '', userId = '', total = ''] = line.trim().split(',')
    const placedAt = `${date}T00:00:00Z`
    const amount = Number(total)
    const items = [{ productId: 'invoice', quantity: 1, unitPrice: amount }]
    const data = { orderId: id, userId, amount, currency: 'GBP', items, placedAt }
    return {
      id,
      amount,
      event: { id: `invoice-${id}`, source: '/online-retail', type: 'orders.order.created', time: placedAt, data }
    }
  })
}

function key(name: string): string {
  try {
    return readFileSync(`${dataDir}/${name}.key`, 'utf8').trim()
  } catch {
    throw new Error(`No ${dataDir}/${name}.key here. Run \`npm start\` in another terminal first, from this directory.`)
  }
}

async function call(path: string, secret: string, body?: unknown): Promise<Response> {
  const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
  const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }
  try {
    return await fetch(base + path, { ...init, headers })
  } catch (err) {
    throw new Error(`No gateway answers on ${base}. Run \`npm start\` in another terminal first.`, { cause: err })
  }
}

/** Sends one batch until it is stored. Safe to repeat: every event has an id. */
async function sendBatch(batch: Invoice[], secret: string): Promise<{ accepted: number; duplicates: number }> {
  for (;;) {
    const response = await call(
      '/events/batch',
      secret,
      batch.map(({ event }) => event)
    )
    if (response.status === 202) return (await response.json()) as { accepted: number; duplicates: number }
    const text = await response.text()
    if (response.status !== 503 && response.status !== 429) throw new Error(`${response.status}: ${text}`)
    await sleep(Number(response.headers.get('retry-after') ?? 1) * 1_000)
  }
}

interface Lag {
  items: { group: string; unread: number; pending: number; delayed: number; requeue: number; dead: number }[]
}

async function groupLag(secret: string) {
  const response = await call('/admin/lag', secret)
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
  const lag = ((await response.json()) as Lag).items.find((item) => item.group === group)
  if (lag === undefined)
    throw new Error(`The gateway on ${base} has no group '${group}': is it running the shop topology?`)
  return lag
}

function progress(text: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${text}`)
}

async function sendAll(all: Invoice[], secret: string): Promise<{ accepted: number; duplicates: number }> {
  const total = { accepted: 0, duplicates: 0 }
  let next = 0
  const send = async () => {
    while (next < all.length) {
      const batch = all.slice(next, next + batchSize)
      next += batchSize
      const { accepted, duplicates } = await sendBatch(batch, secret)
      total.accepted += accepted - duplicates
      total.duplicates += duplicates
      progress(`sent ${total.accepted + total.duplicates} of ${all.length}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, send))
  return total
}

async function settled(secret: string): Promise<{ dead: number }> {
  for (;;) {
    const { unread, pending, delayed, requeue, dead } = await groupLag(secret)
    const open = unread + pending + delayed + requeue
    if (open === 0) return { dead }
    progress(`processing, ${open} to go`)
    await sleep(200)
  }
}

/** Reads the order hashes themselves, not a total somebody keeps. */
async function sumOrders(all: Invoice[]): Promise<{ processed: number; sum: number }> {
  const url = process.env.REDIS_URL
  const redis = url === undefined ? new Redis({ path: `${dataDir}/redis.sock` }) : new Redis(url)
  try {
    let processed = 0
    let sum = 0
    for (let i = 0; i < all.length; i += 1_000) {
      const pipeline = redis.pipeline()
      for (const { id } of all.slice(i, i + 1_000))
        pipeline.hmget(`${process.env.KEY_PREFIX ?? ''}order:${id}`, 'status', 'amount')
      for (const [err, reply] of (await pipeline.exec()) ?? []) {
        if (err) throw err
        const [status, amount] = reply as [string | null, string | null]
        if (status !== 'fulfilled') continue
        processed += 1
        sum += Number(amount)
      }
    }
    return { processed, sum }
  } finally {
    redis.disconnect()
  }
}

const money = (amount: number) => amount.toLocaleString('en-GB', { minimumFractionDigits: 2, maximumFractionDigits: 2 })

async function main(): Promise<void> {
  const all = invoices()
  const publishKey = key('publish')
  const adminKey = key('admin')
  await groupLag(adminKey)
  const started = performance.now()
  const { accepted, duplicates } = await sendAll(all, publishKey)
  const { dead } = await settled(adminKey)
  const seconds = (performance.now() - started) / 1_000
  const { processed, sum } = await sumOrders(all)
  const expected = all.reduce((total, { amount }) => total + amount, 0)
  progress('')
  console.log(`accepted    ${accepted}
duplicates  ${duplicates}
processed   ${processed}
dead        ${dead}
elapsed     ${seconds.toFixed(1)} s
amount      ${money(sum)} in the order hashes, ${money(expected)} in the file`)
  if (processed !== all.length || money(sum) !== money(expected)) {
    console.error('The totals do not match.')
    process.exitCode = 1
  }
}

main().catch((err: Error) => {
  console.error(err.message)
  process.exitCode = 1
})
