/** Every form of REDIS_URL over TLS, to servers that speak nothing else with us. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import t from 'tap'
import { Type } from 'typebox'
import { loadConfig } from '../../src/config.ts'
import { createConnections, type HandlerRedis } from '../../src/streams/connections.ts'
import { defineTopology } from '../../src/topology.ts'
import { as, testApp } from '../fixtures/app.ts'
import { startRedis, steadyPort } from '../fixtures/redis.ts'
import { startSentinel } from '../fixtures/sentinel.ts'
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

/** A server whose `port` is without TLS, for this test's own commands. */
async function startTlsRedis(args: string[] = []): Promise<{ tlsPort: number; redis: Redis }> {
  const tlsPort = await steadyPort()
  const files = ['--tls-cert-file', at('redis.pem'), '--tls-key-file', at('redis.key'), '--tls-ca-cert-file', ca]
  const tls = ['--tls-port', String(tlsPort), ...files, '--tls-auth-clients', 'no']
  const server = await startRedis(t, { port: await steadyPort(), args: [...tls, ...args] })
  return { tlsPort, redis: server.client() }
}

/** Two masters, which say their TLS ports to who asks over TLS. */
async function tlsCluster(): Promise<string> {
  const start = async () => {
    const busPort = await steadyPort()
    const cluster = ['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--tls-cluster', 'yes']
    return { busPort, ...(await startTlsRedis([...cluster, '--cluster-announce-ip', '127.0.0.1'])) }
  }
  const [one, two] = [await start(), await start()]
  await one.redis.call('CLUSTER', 'ADDSLOTSRANGE', 0, 8_191)
  await two.redis.call('CLUSTER', 'ADDSLOTSRANGE', 8_192, 16_383)
  await two.redis.cluster('SET-CONFIG-EPOCH', 2)
  await one.redis.call('CLUSTER', 'MEET', '127.0.0.1', two.tlsPort, two.busPort)
  for (const { redis } of [one, two]) {
    const isOk = async () => String(await redis.cluster('INFO')).includes('cluster_state:ok')
    await until(isOk, { what: 'the nodes know each other' })
  }
  // One node of two: the map of slots has to lead to the other.
  return `rediss+cluster://127.0.0.1:${one.tlsPort}`
}

/** A Sentinel and its master, which talk TLS to each other too. */
async function tlsSentinel(): Promise<string> {
  const master = await startTlsRedis()
  const port = await steadyPort()
  const files = [`tls-cert-file ${at('redis.pem')}`, `tls-key-file ${at('redis.key')}`, `tls-ca-cert-file ${ca}`]
  const tls = ['port 0', `tls-port ${port}`, ...files, 'tls-auth-clients no', 'tls-replication yes']
  await startSentinel(t, master.tlsPort, tls)
  return `rediss+sentinel://127.0.0.1:${port}/events`
}

const server = await startTlsRedis()
const forms = {
  'one server': `rediss://127.0.0.1:${server.tlsPort}`,
  'a Cluster': await tlsCluster(),
  'the master that a Sentinel names': await tlsSentinel()
}

for (const [form, url] of Object.entries(forms)) {
  t.test(`over TLS events are stored and handled: ${form}`, async (t) => {
    // On a Cluster of two nodes some are on each.
    const names = ['tls:one:sent', 'tls:two:sent', 'tls:three:sent', 'tls:four:sent']
    const handled: string[] = []
    const stream = (name: string) => ({
      events: { [name.replaceAll(':', '.')]: Type.Object({}) },
      groups: {
        g: {
          async handler(
            event: { type: string },
            { redis, key }: { redis: HandlerRedis; key: (name: string) => string }
          ) {
            await redis.set(key(event.type), 'handled')
            handled.push(event.type)
          }
        }
      }
    })
    const topology = defineTopology({ streams: Object.fromEntries(names.map((name) => [name, stream(name)])) })
    const { app } = await testApp(t, { topology, ...settingsFor(url, ca) })
    const types = names.map((name) => name.replaceAll(':', '.'))
    for (const type of types) {
      const headers = { ...as('publisher'), 'content-type': 'application/json' }
      const answer = await app.inject({ method: 'POST', url: '/events', headers, payload: { type, data: {} } })
      t.equal(answer.statusCode, 202, type)
    }
    await until(() => types.every((type) => handled.includes(type)))
  })

  t.test(`what is wrong with a certificate or a password is said: ${form}`, async (t) => {
    const said: string[] = []
    const say = (_: object, message: string) => void said.push(message)
    const log = { debug() {}, info: say, warn: say, error: say }
    const tryWith = async (url: string, caFile: string) => {
      const connections = createConnections({ url, ca: await readFile(caFile, 'utf8') }, log)
      t.teardown(() => connections.close())
      connections.append('tls:one:sent')
      await t.rejects(connections.connect())
    }
    await tryWith(url, otherCa)
    await tryWith(url.replace('://', '://nobody:wrong@'), ca)
    t.match(said, [/certificate of Redis is not trusted: REDIS_TLS_CA_FILE/, /refuses the user or the password/])
  })
}

t.test('a file of authorities that cannot be read is a fault at the start', async (t) => {
  await t.rejects(testApp(t, settingsFor(forms['one server'], '/nowhere.pem')), /REDIS_TLS_CA_FILE cannot be read/)
})

function settingsFor(url: string, caFile: string) {
  const { REDIS_URL, REDIS_TLS_CA_FILE } = loadConfig({
    ...{ REDIS_URL: url, REDIS_TLS_CA_FILE: caFile, TOPOLOGY: 't', API_KEYS: '[]' }
  })
  return { REDIS_URL, REDIS_TLS_CA_FILE }
}
