import t from 'tap'
import { openSources, secretSetting } from '../../src/sources.ts'
import { StartupError } from '../../src/startup-error.ts'
import { defineTopology, TopologyError } from '../../src/topology.ts'
import type { SourceOptions } from '../../src/webhooks/source-definition.ts'

const define = (sources: Record<string, object>) =>
  defineTopology({
    streams: { 'a:b:c': {}, 'x:y:z': { observed: true } },
    sources: sources as Record<string, SourceOptions>
  })

function faultsOf(make: () => unknown): string[] {
  try {
    make()
  } catch (error) {
    if (error instanceof TopologyError) return error.faults
    if (error instanceof StartupError) return error.message.split('\n')
    throw error
  }
  return []
}

t.test('a source that names no stream gets one of its own, which remembers deliveries for 72 hours', async (t) => {
  const { streams, sources } = define({
    'my-shop': { preset: 'shopify' },
    other: { preset: 'stripe', stream: 'a:b:c' }
  })
  const own = streams.get('webhooks:my-shop:event')
  t.match(own, { types: new Map(), dedupeWindowMs: 72 * 3_600_000, unread: 'keep', observed: false })
  t.equal(sources.get('my-shop')?.stream, own)
  t.equal(sources.get('other')?.stream, streams.get('a:b:c'))
  t.equal(sources.get('other')?.dedupeWindowMs, 72 * 3_600_000, 'whatever the window of a stream it shares')
  t.equal(streams.size, 3)
})

t.test('a stream under the name of a source is that of the source, with its groups', async (t) => {
  const { streams, sources } = defineTopology({
    streams: { 'webhooks:github:event': { groups: { bots: { external: true } } } },
    sources: { github: { preset: 'github', dedupeWindowMs: 1_000 } }
  })
  t.equal(streams.size, 1)
  t.equal(sources.get('github')?.stream.groups.size, 1)
  t.equal(sources.get('github')?.dedupeWindowMs, 1_000)
})

t.test('every fault of a source stops the start, and names the source', async (t) => {
  const unsigned = {
    kind: 'hmac',
    algorithm: 'sha256',
    key: { encoding: 'utf8' },
    signature: { headers: ['x-sig'], encoding: 'hex', format: { type: 'raw' } },
    signed: '{body}',
    timestamp: { headers: ['x-time'], unit: 's', tolerance: 300 }
  }
  const faulty: [object, RegExp][] = [
    [{ a_b: { preset: 'github' } }, /^source 'a_b': a name is made of/],
    [{ a: { preset: 'githup' } }, /^source 'a': there is no preset 'githup'/],
    [{ a: { preset: 'paypal' } }, /preset 'paypal' is not supported: it is checked with a certificate/],
    [{ a: { preset: unsigned } }, /timestamp is not part of signed/],
    [{ a: { preset: 'github', stream: 'no:such:stream' } }, /stream 'no:such:stream' is not in streams/],
    [{ a: { preset: 'github', stream: 'x:y:z' } }, /is observed/],
    [{ a: { preset: 'github', keepHeaders: ['Authorization'] } }, /'authorization' carries a secret/],
    [{ a: { preset: 'gitlab', keepHeaders: ['x-gitlab-token'] } }, /'x-gitlab-token' carries a secret/],
    [{ a: { preset: 'github', keepHeaders: ['x y'] } }, /'x y' is not a header name/],
    [{ a: { preset: 'github', toleranceSeconds: 60 } }, /signs no timestamp/],
    [{ a: { preset: 'stripe', toleranceSeconds: 0 } }, /above 0, or null/],
    [{ a: { preset: 'github', bodyLimitBytes: 0 } }, /bodyLimitBytes/],
    [{ a: { preset: 'github', dedupeWindowMs: 0 } }, /dedupeWindowMs/],
    [{ a: { preset: 'github', ratePerSecond: 0 } }, /ratePerSecond/],
    [{ a: { preset: 'github', allowedOrigins: ['x'] } }, /allowedOrigins has no meaning/]
  ]
  for (const [sources, fault] of faulty)
    t.match(faultsOf(() => define(sources as Record<string, object>)).join('\n'), fault)
  t.equal(faultsOf(() => define({ a: { preset: 'x' }, b: { preset: 'y' } })).length, 2, 'all at once')
})

t.test('secrets that cannot be used stop the start with a line each that does not quote them', async (t) => {
  const topology = define({ 'my-hub': { preset: 'github' }, adyen: { preset: 'adyen' }, twilio: { preset: 'twilio' } })
  const lines = faultsOf(() =>
    openSources({
      topology,
      settings: {
        WEBHOOK_SECRET_MY_HUB: 'fine, hunter2',
        WEBHOOK_SECRET_ADYEN: 'hunter2',
        WEBHOOK_SECRET_TWILIO: 'hunter2,'
      }
    })
  )
  t.match(lines.sort(), [
    /^PUBLIC_URL is required: the sender of source 'twilio' signs the address/,
    /^WEBHOOK_SECRET_ADYEN: the secret is not hex/,
    /^WEBHOOK_SECRET_MY_HUB: the secret begins or ends with white space/,
    /^WEBHOOK_SECRET_TWILIO: the secret is empty/
  ])
  t.notOk(lines.join().includes('hunter2'))
})

t.test(
  'a source can be posted to once its variable is set, and a token in the query needs no PUBLIC_URL',
  async (t) => {
    const topology = define({ 'my-hub': { preset: 'github' }, token: { preset: 'token' } })
    const settings = { [secretSetting('token')]: 'secret' }
    const sources = openSources({ topology, settings })
    t.equal(sources.get('my-hub')?.receive, undefined)
    const received = sources.get('token')?.receive?.({
      method: 'POST',
      search: '?token=secret',
      query: {},
      headers: {},
      body: Buffer.from('{}')
    })
    t.equal(received?.kind, 'delivery')
  }
)
