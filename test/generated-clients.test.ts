import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import shop from '../src/shop/topology.ts'
import { testApp } from './fixtures/app.ts'
import { portOf } from './fixtures/http.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

t.test('two popular generators make clients that compile under strict and talk to the gateway', async (t) => {
  const keys = [{ name: 'admin-and-publisher', scopes: ['admin', 'publish'] }]
  const { app } = await testApp(t, { topology: shop, keys, CONSUMERS: 'off' })
  const url = `http://127.0.0.1:${await portOf(app)}`
  const dir = await mkdtemp(join(tmpdir(), 'hg-clients-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  await symlink(join(root, 'node_modules'), join(dir, 'node_modules'))
  await writeFile(join(dir, 'package.json'), '{"type":"module"}')
  const document = join(dir, 'openapi.json')
  await writeFile(document, await (await fetch(`${url}/openapi.json`)).text())
  await run(process.execPath, [fixture('generate-clients.ts'), document, dir], { cwd: root })

  const program = join(dir, 'client-round-trips.ts')
  const text = await readFile(fixture('client-round-trips.ts'), 'utf8')
  await writeFile(program, text.replace(/^.*@ts-nocheck.*\n/, ''))
  const options = {
    strict: true,
    noEmit: true,
    module: 'nodenext',
    target: 'esnext',
    lib: ['esnext', 'dom', 'dom.iterable']
  }
  const compilerOptions = { ...options, types: ['node'], allowImportingTsExtensions: true, skipLibCheck: true }
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['**/*.ts'] }))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const compiled = await run(process.execPath, [tsc, '-p', dir]).catch((error) => error)
  t.equal(compiled.stdout, '', 'the compiler has nothing to say')

  const { stdout } = await run(process.execPath, [program, url])
  const answers = JSON.parse(stdout)
  t.equal(answers.length, 2)
  for (const { entryId, found, ...rest } of answers) {
    t.match(entryId, /^\d+-\d+$/)
    t.equal(found, entryId)
    t.match(rest, { accepted: 2, firstIsDuplicate: true, code: 'unknown-type' })
    t.ok(rest.groups.includes('order_processors'))
  }
})
