/**
 * npm run send-webhook -- <source> [file]: signs a body as the sender of that source would, and posts it to the gateway
 * that runs on this machine. Without a file it sends a sample; for GitHub one of its own examples.
 */
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'
import { webhookSecretFile } from '../src/first-run.ts'
import { secretSetting } from '../src/sources.ts'
import { loadTopology, SHOP } from '../src/topology-module.ts'
import type { PresetDefinition } from '../src/webhooks/preset-definition.ts'
import { presets } from '../src/webhooks/presets.ts'
import { sampleDelivery } from '../src/webhooks/sample.ts'
import { signWebhook } from '../src/webhooks/sign.ts'

const usage = `usage: npm run send-webhook -- <source> [file] [--type push] [--id <delivery id>] [--private-key key.pem]

  --type         event type, for senders that name it in a header
  --id           delivery id; sending the same one again shows how a duplicate is answered
  --private-key  for senders that sign with one (discord, sendgrid, standard-webhooks-ed25519)`

interface Options {
  type?: string
  id?: string
  'private-key'?: string
}

async function main(): Promise<void> {
  if (existsSync('.env')) process.loadEnvFile()
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { type: { type: 'string' }, id: { type: 'string' }, 'private-key': { type: 'string' } }
  })
  const [name, file, ...rest] = positionals
  if (name === undefined || rest.length > 0) throw new Error(usage)
  const { sources } = await loadTopology(process.env.TOPOLOGY || SHOP.href)
  const source = sources.get(name)
  if (source === undefined)
    throw new Error(`The topology has no source '${name}'; it has ${Array.from(sources.keys()).join(', ') || 'none'}.`)
  await send(name, source.preset, file, values)
}

async function send(name: string, preset: PresetDefinition, file: string | undefined, options: Options): Promise<void> {
  const local = process.env.HEADGATE_URL ?? `http://127.0.0.1:${process.env.PORT || 3000}`
  const isGithub = preset === presets.get('github')
  const type = options.type ?? (isGithub ? 'push' : 'sample')
  const id = options.id ?? randomUUID()
  const now = Date.now()
  const secret = secretOf(name, preset, options['private-key'])
  const sample = sampleDelivery(preset, { id, type, now, secret })
  const example = isGithub ? githubExample(type) : undefined
  const body = file === undefined ? (example ?? sample.body) : readFileSync(file)
  const path = `/webhooks/${name}${search(preset, secret)}`
  const url = `${(process.env.PUBLIC_URL ?? local).replace(/\/+$/, '')}${path}`
  const { contentType } = sample
  const headers = signWebhook(preset, { secret, url, body, contentType, now, id, type })
  const answer = await post(local.replace(/\/+$/, '') + path, headers, body)
  process.stdout.write(`${answer.status} ${await answer.text()}\n`)
  if (answer.status === 401) process.stderr.write("Refused. The gateway's log has the reason.\n")
  if (!answer.ok) process.exitCode = 1
}

/** The first of the source's secrets, as the gateway has it. */
function secretOf(name: string, preset: PresetDefinition, privateKeyFile: string | undefined): string {
  if (preset.kind === 'publicKey') {
    if (privateKeyFile !== undefined) return readFileSync(privateKeyFile, 'utf8')
    throw new Error(`The sender of '${name}' signs with a private key: give yours with --private-key key.pem.`)
  }
  const setting = secretSetting(name)
  const file = webhookSecretFile('.headgate', name)
  const secret = process.env[setting]?.split(',')[0] || (existsSync(file) && readFileSync(file, 'utf8').trim())
  if (!secret) throw new Error(`Set ${setting} to the secret that the gateway has, here or in .env.`)
  return secret
}

/** A token that the sender can only put into the query. */
function search(preset: PresetDefinition, secret: string): string {
  if (preset.kind !== 'token' || preset.token.query === undefined || preset.token.headers !== undefined) return ''
  return `?${new URLSearchParams({ [preset.token.query]: secret })}`
}

/** One of the deliveries that GitHub publishes as examples, where the development dependencies are installed. */
function githubExample(type: string): Buffer | undefined {
  let events: { name: string; examples: object[] }[]
  try {
    events = createRequire(import.meta.url)('@octokit/webhooks-examples')
  } catch {
    return undefined
  }
  const payload = events.find(({ name }) => name === type)?.examples[0]
  return payload && Buffer.from(JSON.stringify(payload))
}

async function post(url: string, headers: Record<string, string>, body: Buffer): Promise<Response> {
  try {
    return await fetch(url, { method: 'POST', headers, body: new Uint8Array(body) })
  } catch (cause) {
    throw new Error(`No gateway answers on ${new URL(url).origin}. Run \`npm start\` in another terminal first.`, {
      cause
    })
  }
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
})
