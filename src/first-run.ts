/**
 * What a newcomer gets from the first start without any settings: two keys on disk, and lines to paste that use them.
 */
import { createHash, randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { StartupError } from './startup-error.ts'

/** One entry of API_KEYS. */
export interface KeyDefinition {
  name: string
  sha256: string[]
  scopes: string[]
}

/** The keys of a first run: file name in the data directory, and what each may do. */
const firstKeys = [
  { name: 'publish', file: 'publish.key', scopes: ['publish'] },
  { name: 'admin', file: 'admin.key', scopes: ['admin'] }
]

/** A new secret key: 256 random bits, URL-safe, recognisable by its prefix. */
export function createKey(): string {
  return `hg_${randomBytes(32).toString('base64url')}`
}

/** How a key is configured: its SHA-256 in hex. A key has too many bits to be guessed, so a fast hash is enough. */
export function keyDefinition(name: string, key: string, scopes: string[]): KeyDefinition {
  return { name, sha256: [createHash('sha256').update(key).digest('hex')], scopes }
}

/**
 * Makes `publish.key` and `admin.key` (0600) in `dataDir` (0700) where they are missing, and returns their definitions.
 * Keys that exist stay as they are. Each file appears whole or not at all, whenever the process dies.
 */
export function ensureKeys(dataDir: string): KeyDefinition[] {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  return firstKeys.map(({ name, file, scopes }) => keyDefinition(name, storedKey(join(dataDir, file)), scopes))
}

/** The secret of a webhook source of the first run, made where it is missing; `npm run send-webhook` reads it too. */
export function ensureWebhookSecret(dataDir: string, source: string): string {
  return storedKey(webhookSecretFile(dataDir, source))
}

export function webhookSecretFile(dataDir: string, source: string): string {
  return join(dataDir, `webhook-${source}.secret`)
}

function storedKey(file: string): string {
  const key = readIfThere(file) ?? writeNew(file, createKey())
  if (!/^\S{20,}$/.test(key))
    throw new StartupError(`${file} does not hold a key: remove it, and the next start makes a new one.`)
  return key
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

function writeNew(file: string, key: string): string {
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, `${key}\n`, { mode: 0o600 })
  try {
    linkSync(draft, file)
  } finally {
    rmSync(draft, { force: true })
  }
  return key
}

/**
 * What `npm start` prints once the gateway listens: its address, a line that sends an order, and lines that show what
 * became of it. They work as pasted into a shell in the current directory.
 */
export function banner({
  url,
  operatorsUrl,
  dataDir,
  socket,
  orderId,
  now = new Date()
}: {
  url: string
  /** Where admin routes and the API reference are. */
  operatorsUrl: string
  dataDir: string
  socket: string
  orderId: string
  now?: Date
}): string {
  return `
  Headgate listens on ${url}

  Send an order:

    ${sendOrder({ url, keyFile: join(dataDir, 'publish.key'), orderId, now })}

  See what became of it, what its handler keeps in Redis, and how far every group is:

    curl -sS ${bearer(join(dataDir, 'admin.key'))} '${operatorsUrl}/admin/streams/orders:order:created/entries?source=/keys/publish&id=${orderId}'
    redis-cli -s ${word(fromHere(socket))} hgetall order:${orderId}
    curl -sS ${bearer(join(dataDir, 'admin.key'))} ${operatorsUrl}/admin/lag

  The API, to read and to try: ${operatorsUrl}/docs

`
}

/** The curl line that posts one order. Pasted twice, it is the same event: the second answer says `duplicate`. */
export function sendOrder({
  url,
  keyFile,
  orderId,
  now
}: {
  url: string
  keyFile: string
  orderId: string
  now: Date
}): string {
  const event = {
    id: orderId,
    type: 'orders.order.created',
    data: {
      orderId,
      userId: 'user-1',
      amount: 59.8,
      currency: 'EUR',
      items: [{ productId: 'lamp-7', quantity: 2, unitPrice: 29.9 }],
      placedAt: now.toISOString()
    }
  }
  return `curl -sS ${bearer(keyFile)} -H 'content-type: application/json' ${url}/events -d ${word(JSON.stringify(event))}`
}

/** The key is read by the shell when the line runs, so it is not printed, and not kept in the shell's history. */
function bearer(keyFile: string): string {
  return `-H "authorization: Bearer $(cat ${word(fromHere(keyFile))})"`
}

function fromHere(file: string): string {
  return relative('', file)
}

/** One word of a POSIX shell command line, quoted where it has to be. */
function word(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
