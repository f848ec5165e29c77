/**
 * The process: settings from the environment, the topology they name, listening, signals, exit.
 *
 * With EMBEDDED_REDIS=on, which only `npm start` and `npm run dev` set, what is missing is supplied: a private Redis, two
 * keys and the shop topology. Everywhere else every setting is the operator's.
 */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import pino, { type Logger } from 'pino'
import pretty from 'pino-pretty'
import { buildApp } from './app.ts'
import { type Config, ConfigError, loadConfig } from './config.ts'
import { type EmbeddedRedis, startEmbeddedRedis } from './embedded-redis.ts'
import { errorFields } from './error-fields.ts'
import { banner, ensureKeys, ensureWebhookSecret } from './first-run.ts'
import { secretSetting } from './sources.ts'
import { StartupError } from './startup-error.ts'
import { TopologyError } from './topology.ts'
import { loadTopology, SHOP } from './topology-module.ts'

const DATA_DIR = '.headgate'

async function main(): Promise<void> {
  if (existsSync('.env')) process.loadEnvFile()
  const env = { ...process.env }
  const embeddedWanted = env.EMBEDDED_REDIS === 'on' && !env.REDIS_URL
  const log = logger(env.LOG_LEVEL ?? 'info', embeddedWanted)
  const embedded = embeddedWanted ? await startEmbeddedRedis({ dataDir: DATA_DIR, log }) : undefined
  let app: FastifyInstance | undefined
  const stop = async () => {
    await app?.close()
    await embedded?.stop()
  }
  try {
    if (embedded !== undefined) supply(env, embedded)
    const config = loadConfig(env)
    app = buildApp(config, { topology: await loadTopology(config.TOPOLOGY), log })
    const delay = config.DRAIN_DELAY_MS + config.SHUTDOWN_GRACE_MS + 5_000
    closeWithGrace({ delay, logger: log }, async ({ signal, err }) => {
      if (err) log.fatal({ err }, 'Headgate stops after an error that nobody caught')
      else {
        log.info(`${signal ?? 'stop'}: finishing what is open, then stopping`)
        if (app?.server.listening) await app.drain.begin()
      }
      await stop()
      log.info('stopped')
    })
    const url = await app.listen({ host: config.HOST, port: config.PORT })
    const operatorsUrl = await app.listenForOperators()
    if (operatorsUrl !== undefined) log.info(`Operators are served at ${operatorsUrl}`)
    if (embedded !== undefined) greet(config, embedded, { url, operatorsUrl: operatorsUrl ?? url })
  } catch (err) {
    await stop()
    throw err
  }
}

/** What a newcomer has not set. */
function supply(env: Record<string, string | undefined>, { url }: EmbeddedRedis): void {
  env.REDIS_URL = url
  env.TOPOLOGY ||= SHOP.href
  if (!env.API_KEYS && !env.API_KEYS_FILE) env.API_KEYS = JSON.stringify(ensureKeys(DATA_DIR))
  if (env.TOPOLOGY === SHOP.href) env[secretSetting('github')] ||= ensureWebhookSecret(DATA_DIR, 'github')
}

function greet(config: Config, { socket }: EmbeddedRedis, urls: { url: string; operatorsUrl: string }): void {
  if (config.TOPOLOGY !== SHOP.href) return
  process.stdout.write(banner({ ...urls, dataDir: DATA_DIR, socket, orderId: `order-${randomUUID().slice(0, 8)}` }))
}

/** JSON for machines; for a person at `npm start`, lines. */
function logger(level: string, readable: boolean): Logger {
  // Errors that nobody caught go through here too.
  const options = { level, serializers: { err: errorFields } }
  if (!readable) return pino(options)
  return pino(
    options,
    pretty({
      colorize: process.stdout.isTTY,
      translateTime: 'SYS:HH:MM:ss',
      ignore: 'pid,hostname',
      singleLine: true,
      sync: true
    })
  )
}

function plainMessage(err: unknown): string | undefined {
  if (err instanceof ConfigError || err instanceof StartupError || err instanceof TopologyError) return err.message
  const { code, port } = err as { code?: string; port?: number }
  if (code === 'EADDRINUSE')
    return `Port ${port} is taken by another program: stop it, or set PORT (or ADMIN_PORT) to a free one (PORT=3001 npm start).`
  if (code === 'EACCES' && port !== undefined)
    return `Port ${port} is not allowed for this user: set PORT to one above 1023.`
  return undefined
}

main().catch((err) => {
  process.stderr.write(`${plainMessage(err) ?? err.stack}\n`)
  process.exit(1)
})
