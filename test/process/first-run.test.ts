import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { banner, ensureKeys, sendOrder } from '../../src/first-run.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const keygen = new URL('../../scripts/keygen.ts', import.meta.url).pathname

t.test('the first run makes a publish key and an admin key that only their owner can read', async (t) => {
  const dir = join(t.testdir(), '.headgate')
  const definitions = ensureKeys(dir)
  t.equal(statSync(dir).mode & 0o777, 0o700)
  for (const file of ['publish.key', 'admin.key']) {
    t.equal(statSync(join(dir, file)).mode & 0o777, 0o600)
    t.match(readFileSync(join(dir, file), 'utf8'), /^hg_[\w-]{43}\n$/)
  }
  const hash = (file: string) => sha256(readFileSync(join(dir, file), 'utf8').trim())
  t.same(definitions, [
    { name: 'publish', sha256: [hash('publish.key')], scopes: ['publish'] },
    { name: 'admin', sha256: [hash('admin.key')], scopes: ['admin'] }
  ])
})

t.test('later runs keep the keys, and replace only the one that was removed', async (t) => {
  const dir = t.testdir()
  const [publish, admin] = ensureKeys(dir)
  t.same(ensureKeys(dir), [publish, admin])
  execFileSync('rm', [join(dir, 'admin.key')])
  const [samePublish, otherAdmin] = ensureKeys(dir)
  t.same(samePublish, publish)
  t.notSame(otherAdmin, admin)
})

t.test('a key file that holds no key stops the start and names the file', async (t) => {
  const dir = t.testdir({ 'publish.key': '' })
  t.throws(() => ensureKeys(dir), { name: 'StartupError', message: /publish\.key does not hold a key: remove it/ })
})

t.test(
  'the printed line sends the order with the stored key when it is pasted, whatever the folder is called',
  async (t) => {
    const dir = t.testdir({ "it's data": {} })
    const dataDir = join(dir, "it's data")
    ensureKeys(dataDir)
    const line = sendOrder({
      url: 'http://127.0.0.1:3000',
      keyFile: join(dataDir, 'publish.key'),
      orderId: "o'1",
      now: new Date('2026-01-02T03:04:05Z')
    })
    // The shell sees curl's own words: one per line.
    const words = execFileSync('sh', ['-c', `curl() { printf '%s\\n' "$@"; }\n${line}`], { encoding: 'utf8' }).split(
      '\n'
    )
    t.ok(words.includes(`authorization: Bearer ${readFileSync(join(dataDir, 'publish.key'), 'utf8').trim()}`))
    t.ok(words.includes('content-type: application/json'))
    t.ok(words.includes('http://127.0.0.1:3000/events'))
    t.same(JSON.parse(words[words.indexOf('-d') + 1] ?? ''), {
      id: "o'1",
      type: 'orders.order.created',
      data: {
        orderId: "o'1",
        userId: 'user-1',
        amount: 59.8,
        currency: 'EUR',
        items: [{ productId: 'lamp-7', quantity: 2, unitPrice: 29.9 }],
        placedAt: '2026-01-02T03:04:05.000Z'
      }
    })
  }
)

t.test('the banner names the address, and the order its lines are about, but no key', async (t) => {
  const dataDir = t.testdir()
  ensureKeys(dataDir)
  const text = banner({
    url: 'http://127.0.0.1:3000',
    operatorsUrl: 'http://127.0.0.1:3001',
    dataDir,
    socket: join(dataDir, 'redis.sock'),
    orderId: 'first-order'
  })
  t.match(text, 'listens on http://127.0.0.1:3000')
  t.match(text, 'hgetall order:first-order')
  t.match(text, 'http://127.0.0.1:3001/admin/lag')
  t.match(text, 'http://127.0.0.1:3001/docs')
  t.notMatch(text, readFileSync(join(dataDir, 'publish.key'), 'utf8').trim())
  t.notMatch(text, readFileSync(join(dataDir, 'admin.key'), 'utf8').trim())
})

t.test('keygen prints a key and the definition that configures it', async (t) => {
  const run = (...args: string[]) => spawnSync(process.execPath, [keygen, ...args], { encoding: 'utf8' })
  const printed = run('shop', 'publish:orders:*', 'observe').stdout
  const key = /hg_[\w-]{43}/.exec(printed)?.[0] ?? ''
  t.same(JSON.parse(/\{.*\}/.exec(printed)?.[0] ?? ''), {
    name: 'shop',
    sha256: [sha256(key)],
    scopes: ['publish:orders:*', 'observe']
  })
  t.not(run('shop').stdout, run('shop').stdout)
  t.match(run(), { status: 1, stdout: '', stderr: /usage: npm run keygen/ })
  t.match(run('shop', 'publsh'), { status: 1, stdout: '', stderr: /publsh is not a scope/ })
})
