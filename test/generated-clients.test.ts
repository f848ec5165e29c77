import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import shop from '../src/shop/topology.ts'
import { testApp } from './fixtures/app.ts'
import { compilerFaults, copyPrograms, generateClients } from './fixtures/generated-clients.ts'
import { portOf } from './fixtures/http.ts'

const run = promisify(execFile)

t.test('two popular generators make clients that compile under strict and talk to the gateway', async (t) => {
  const keys = [{ name: 'admin-and-publisher', scopes: ['admin', 'publish'] }]
  const { app } = await testApp(t, { topology: shop, keys, CONSUMERS: 'off' })
  const folder = await generateClients(t, ['openapi-typescript', 'hey-api'])
  await copyPrograms(folder, ['client-round-trips.ts', 'incident.ts', 'until.ts'])
  t.equal(await compilerFaults(folder), '', 'the compiler has nothing to say')

  const program = join(folder, 'client-round-trips.ts')
  const { stdout } = await run(process.execPath, [program, `http://127.0.0.1:${await portOf(app)}`])
  const answers = JSON.parse(stdout)
  t.equal(answers.length, 2)
  for (const { entryId, found, ...rest } of answers) {
    t.match(entryId, /^\d+-\d+$/)
    t.equal(found, entryId)
    t.match(rest, { accepted: 2, firstIsDuplicate: true, code: 'unknown-type' })
    t.ok(rest.groups.includes('order_processors'))
  }
})
