/** Every form of REDIS_URL over TLS, to servers that speak nothing else with us. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Type } from 'typebox'
import { createConnections } from '../../src/streams/connections.ts'
import { defineTopology } from '../../src/topology.ts'
import type { Handler } from '../../src/topology-options.ts'
import { as, testApp } from '../fixtures/app.ts'
import { startCluster } from '../fixtures/cluster.ts'
import { startRedis, steadyPort } from '../fixtures/redis.ts'
import { startSentinel } from '../fixtures/sentinel.ts'
import { listening } from '../fixtures/streams.ts'
import { until } from '../fixtures/until.ts'

const dir = await mkdtemp(join(tmpdir(), 'hg-tls-'))
t.teardown(() => rm(dir, { recursive: true, force: true }))
const at = (file: string) => join(dir, file)
const ca = at('ca.pem')
const otherCa = at('other.pem')
await makeCertificates()

/** Two authorities, and a certificate for 127.0.0.1 of the first. */
async function makeCertificates(): Promise<void> {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  for (const name of ['ca', 'other'])
    openssl('req', '-x509', ...key, '-keyout', at(`${name}.key`), '-out', at(`${name}.pem`), '-subj', `/CN=${name}`)
  openssl('req', ...key, '-keyout', at('redis.key'), '-out', at('redis.csr'), '-subj', '/CN=redis')
  await writeFile(at('names'), 'subjectAltName=IP:127.0.0.1')
  const signing = ['-CA', ca, '-CAkey', at('ca.key'), '-CAcreateserial', '-extfile', at('names')]
  openssl('x509', '-req', '-in', at('redis.csr'), ...signing, '-out', at('redis.pem'))
}

/** What makes a server speak TLS on that port; on its `port` it speaks none, for this test's own commands. */
const tlsArgs = (port: number) => [
  ...['--tls-port', String(port), '--tls-auth-clients', 'no', '--tls-ca-cert-file', ca],
  ...['--tls-cert-file', at('redis.pem'), '--tls-key-file', at('redis.key')]
]

async function startTlsRedis(): Promise<number> {
  const port = await steadyPort()
  await startRedis(t, { port: true, args: tlsArgs(port) })
  return port
}

/** Two masters, which say their TLS ports to who asks over TLS. */
async function tlsCluster(): Promise<string> {
  const ports = [await steadyPort(), await steadyPort()]
  const argsOf = (n: number) => [...tlsArgs(ports[n] as number), '--tls-cluster', 'yes']
  await startCluster(t, { masters: 2, argsOf })
  // One node of two: the map of slots has to lead to the other.
  return `rediss+cluster://127.0.0.1:${ports[0]}`
}

/** A Sentinel and its master, which talk TLS to each other too. */
async function tlsSentinel(): Promise<string> {
  const masterPort = await startTlsRedis()
  const port = await steadyPort()
  const files = [`tls-cert-file ${at('redis.pem')}`, `tls-key-file ${at('redis.key')}`, `tls-ca-cert-file ${ca}`]
  const tls = ['port 0', `tls-port ${port}`, ...files, 'tls-auth-clients no', 'tls-replication yes']
  await startSentinel(t, masterPort, tls)
  return `rediss+sentinel://127.0.0.1:${port}/events`
}

const forms = {
  'one server': `rediss://127.0.0.1:${await startTlsRedis()}`,
  'a Cluster': await tlsCluster(),
  'the master that a Sentinel names': await tlsSentinel()
}

for (const [form, url] of Object.entries(forms)) {
  t.test(`over TLS events are stored and handled: ${form}`, async (t) => {
    // On a Cluster of two nodes some are on each.
    const names = ['tls:one:sent', 'tls:two:sent', 'tls:three:sent', 'tls:four:sent']
    const handled: string[] = []
    const handler: Handler = async ({ type }, { redis, key }) => {
      await redis.set(key(type), 'handled')
      handled.push(type)
    }
    const stream = (name: string) => ({
      events: { [name.replaceAll(':', '.')]: Type.Object({}) },
      groups: { g: { handler } }
    })
    const topology = defineTopology({ streams: Object.fromEntries(names.map((name) => [name, stream(name)])) })
    const { app } = await testApp(t, { topology, REDIS_URL: url, REDIS_TLS_CA_FILE: ca })
    const types = names.map((name) => name.replaceAll(':', '.'))
    for (const type of types) {
      const headers = { ...as('publisher'), 'content-type': 'application/json' }
      const answer = await app.inject({ method: 'POST', url: '/events', headers, payload: { type, data: {} } })
      t.equal(answer.statusCode, 202, type)
    }
    await until(() => types.every((type) => handled.includes(type)))
  })

  t.test(`what is wrong with a certificate or a password is said: ${form}`, async (t) => {
    const { log, said } = listening()
    const tryWith = async (url: string, caFile: string) => {
      const connections = createConnections({ url, ca: await readFile(caFile, 'utf8') }, log)
      t.teardown(() => connections.close())
      connections.append('tls:one:sent')
      await t.rejects(connections.connect())
    }
    await tryWith(url, otherCa)
    await tryWith(url.replace('://', '://nobody:wrong@'), ca)
    t.match(said, [
      { message: /certificate of Redis is not trusted: REDIS_TLS_CA_FILE/ },
      { message: /refuses the user or the password/ }
    ])
  })
}

t.test('a file of authorities that cannot be read is a fault at the start', async (t) => {
  const settings = { REDIS_URL: forms['one server'], REDIS_TLS_CA_FILE: '/nowhere.pem' }
  await t.rejects(testApp(t, settings), /REDIS_TLS_CA_FILE cannot be read/)
})
