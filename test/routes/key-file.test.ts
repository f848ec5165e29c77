import { once } from 'node:events'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { Agent, type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { watchFile } from '../../src/plugins/key-file.ts'
import { as, keysJson, testTopology } from '../fixtures/app.ts'
import { portOf } from '../fixtures/http.ts'
import { until } from '../fixtures/until.ts'

const keysFor = (...names: string[]) => keysJson(names.map((name) => ({ name, scopes: ['observe'] })))

async function folder(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'hg-keys-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  return dir
}

async function appWith(t: Test, file: string) {
  const logged: { level: string; message: string }[] = []
  const say = (level: string) => (_fields: object, message: string) => void logged.push({ level, message })
  const levels = { info: say('info'), warn: say('warn'), error: say('error'), debug() {}, fatal() {}, trace() {} }
  const log = { ...levels, child: () => levels }
  const config = loadConfig({ REDIS_URL: 'redis://127.0.0.1:1', TOPOLOGY: 'given', API_KEYS_FILE: file })
  const app = buildApp(config, { topology: testTopology, offline: true, log: log as never })
  t.teardown(() => app.close())
  await app.ready()
  const statusOf = async (name: string) => (await app.inject({ url: '/types', headers: as(name) })).statusCode
  return { app, logged, statusOf }
}

t.test('a changed file of keys is in force without a restart, and a broken one changes nothing', async (t) => {
  const file = join(await folder(t), 'keys.json')
  await writeFile(file, keysFor('a'))
  const { logged, statusOf } = await appWith(t, file)
  t.same([await statusOf('a'), await statusOf('b')], [200, 401])
  await writeFile(file, keysFor('b'))
  await until(async () => (await statusOf('b')) === 200)
  t.equal(await statusOf('a'), 401)
  const errors = () => logged.filter(({ level }) => level === 'error').length
  await writeFile(file, '[{')
  await until(() => errors() === 1)
  await writeFile(file, '[{ ')
  await writeFile(file, keysFor('b', 'c'))
  await until(async () => (await statusOf('c')) === 200)
  t.equal(await statusOf('b'), 200)
  t.equal(errors(), 1)
})

t.test('a key that opened a connection is checked on every request of it', async (t) => {
  const file = join(await folder(t), 'keys.json')
  await writeFile(file, keysFor('a'))
  const { app } = await appWith(t, file)
  const port = await portOf(app)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  const connections = new Set<number | undefined>()
  const statusOf = async (headers: Record<string, string>) => {
    const asking = request({ host: '127.0.0.1', port, path: '/types', headers, agent }).end()
    const [answer] = (await once(asking, 'response')) as [IncomingMessage]
    connections.add(asking.socket?.localPort)
    answer.resume()
    await once(answer, 'end')
    return answer.statusCode
  }
  t.same([await statusOf(as('a')), await statusOf(as('a')), await statusOf(as('b'))], [200, 200, 401])
  t.same([await statusOf({}), await statusOf({ authorization: '' }), await statusOf(as('a'))], [401, 401, 200])
  await writeFile(file, keysFor('b'))
  await until(async () => (await statusOf(as('b'))) === 200)
  t.equal(await statusOf(as('a')), 401, 'its key was taken away')
  t.equal(connections.size, 1)
})

t.test('the file may be a link that is swapped, as Kubernetes does with a mounted secret', async (t) => {
  const dir = await folder(t)
  for (const version of ['v1', 'v2']) {
    await mkdir(join(dir, version))
    await writeFile(join(dir, version, 'keys.json'), keysFor(version))
  }
  await symlink('v1', join(dir, '..data'))
  await symlink('..data/keys.json', join(dir, 'keys.json'))
  const { statusOf } = await appWith(t, join(dir, 'keys.json'))
  t.equal(await statusOf('v1'), 200)
  await symlink('v2', join(dir, '..new'))
  await rename(join(dir, '..new'), join(dir, '..data'))
  await until(async () => (await statusOf('v2')) === 200)
  t.equal(await statusOf('v1'), 401)
})

t.test('a file that is gone, and one that stays broken, are said once; its return is noticed', async (t) => {
  const dir = await folder(t)
  const file = join(dir, 'f')
  const put = async (text: string) => {
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }
  await put('one')
  const used: string[] = []
  let errors = 0
  let reads = 0
  const log = {
    error() {
      errors += 1
    },
    info() {
      reads += 1
    },
    warn() {}
  }
  const use = (text: string) => {
    if (text.startsWith('bad')) throw new Error('bad')
    used.push(text)
  }
  const end = await watchFile({ file, use, log: log as never, recheckMs: 5 })
  t.teardown(end)
  await rm(file)
  await until(() => errors === 1)
  await put('two')
  await until(() => used.at(-1) === 'two')
  await put('bad')
  await until(() => errors === 2)
  await put('bad too')
  await put('three')
  await until(() => used.at(-1) === 'three')
  t.equal(errors, 2)
  t.same(used, ['one', 'two', 'three'])
  t.equal(reads, 2)
})

t.test('a file that cannot be read or used at the start stops it', async (t) => {
  const file = join(await folder(t), 'keys.json')
  for (const [text, message] of [
    [undefined, /API_KEYS_FILE: .*keys.json cannot be read \(ENOENT\)/],
    ['[]', /API_KEYS_FILE must be an array/],
    [keysFor('a').replace('"scopes"', '"ratePerSecond":0,"scopes"'), /ratePerSecond is a number above 0/]
  ] as const) {
    if (text !== undefined) await writeFile(file, text)
    const config = loadConfig({
      REDIS_URL: 'redis://127.0.0.1:1',
      TOPOLOGY: 'given',
      LOG_LEVEL: 'silent',
      API_KEYS_FILE: file
    })
    const app = buildApp(config, { topology: testTopology, offline: true })
    t.teardown(() => app.close())
    await t.rejects(async () => app.ready(), { message })
  }
})
