import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { gateway } from './gateway.ts'

const script = fileURLToPath(new URL('../../scripts/send-webhook.ts', import.meta.url))
const secret = 'a-secret-of-the-test'
const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const sources = { github: { preset: 'github' }, shop: { preset: 'square' }, chat: { preset: 'discord' } }
const env = {
  WEBHOOK_SECRET_GITHUB: secret,
  WEBHOOK_SECRET_SHOP: secret,
  WEBHOOK_SECRET_CHAT: publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('hex'),
  PUBLIC_URL: 'https://events.example.com'
}
const g = await gateway(t, { sources }, env)
await g.app.listen()
const dir = await mkdtemp(join(tmpdir(), 'hg-send-'))
t.teardown(() => rm(dir, { recursive: true }))
const topology = join(dir, 'topology.ts')
await writeFile(
  topology,
  `export default ({ defineTopology }) => defineTopology({ streams: {}, sources: ${JSON.stringify(sources)} })`
)

async function run(args: string[], change: Record<string, string> = {}) {
  const { port } = g.app.server.address() as AddressInfo
  const child = spawn(process.execPath, [script, ...args], {
    cwd: dir,
    env: { PATH: process.env.PATH, ...env, TOPOLOGY: topology, HEADGATE_URL: `http://localhost:${port}/`, ...change }
  })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { out, err, code: await ended }
}

t.test("a sample is signed as the sender would sign it; GitHub's is a real one", async (t) => {
  t.match(await run(['github', '--id', 'd1']), { code: 0, out: /^200 \{"id":"d1",.*"duplicate":false\}\n$/ })
  t.match(await run(['github', '--id', 'd1']), { code: 0, out: /"duplicate":true/ })
  const [event] = await g.stored('github')
  t.equal(event?.type, 'github.push')
  t.match(JSON.parse(event?.data ?? ''), { repository: { full_name: event?.subject }, pusher: {} })
  t.match(await run(['shop', '--type', 'payment.created']), { code: 0 })
  t.match(await g.stored('shop'), [{ type: 'shop.payment.created' }])
})

t.test('a file is sent as it is', async (t) => {
  const file = join(dir, 'order.json')
  await writeFile(file, '{ "event_id" : "e1" }\n')
  t.match(await run(['shop', file]), { code: 0, out: /"id":"e1"/ })
  t.match((await g.stored('shop')).at(-1), { data: '{ "event_id" : "e1" }\n' })
})

t.test('a sender that signs with a private key needs one', async (t) => {
  t.match(await run(['chat']), { code: 1, err: /private key: give yours/ })
  const pem = join(dir, 'key.pem')
  await writeFile(pem, privateKey.export({ type: 'pkcs8', format: 'pem' }))
  t.match(await run(['chat', '--private-key', pem]), { code: 0 })
})

t.test('what goes wrong is said in one line', async (t) => {
  t.match(await run([]), { code: 1, err: /^usage: npm run send-webhook/ })
  t.match(await run(['gitlab']), { code: 1, err: "The topology has no source 'gitlab'; it has github, shop, chat.\n" })
  t.match(await run(['github'], { WEBHOOK_SECRET_GITHUB: '' }), { code: 1, err: /^Set WEBHOOK_SECRET_GITHUB/ })
  t.match(await run(['github'], { WEBHOOK_SECRET_GITHUB: 'other' }), {
    code: 1,
    out: /^401 /,
    err: /log has the reason/
  })
  t.match(await run(['github'], { HEADGATE_URL: 'http://127.0.0.1:1' }), { code: 1, err: /^No gateway answers/ })
})
