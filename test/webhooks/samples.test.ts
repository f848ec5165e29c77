import t from 'tap'
import { presets } from '../../src/webhooks/presets.ts'
import { sampleDelivery } from '../../src/webhooks/sample.ts'
import { signWebhook } from '../../src/webhooks/sign.ts'
import { gateway, post } from './gateway.ts'
import { senderOf } from './signed-requests.ts'

const senders = [...presets].map(([name, preset]) => ({ name, preset, sender: senderOf(name, preset) }))

t.test(
  'a sample of every sender is accepted, stored with its id and type, and known when it comes again',
  async (t) => {
    const env = Object.fromEntries(
      senders.map(({ name, sender }) => [`WEBHOOK_SECRET_${name.toUpperCase().replaceAll('-', '_')}`, sender.secret])
    )
    const sources = Object.fromEntries(senders.map(({ name }) => [name, { preset: name }]))
    const g = await gateway(t, { sources }, { ...env, PUBLIC_URL: 'https://events.example.com/in/' })
    for (const { name, preset, sender } of senders) {
      const now = Date.now()
      const { body, contentType } = sampleDelivery(preset, { id: 'd1', type: 'made', now, secret: sender.signing })
      const url = `https://events.example.com/in/webhooks/${name}`
      const headers = signWebhook(preset, {
        secret: sender.signing,
        url,
        body,
        contentType,
        now,
        id: 'd1',
        type: 'made'
      })
      const first = await post(g, name, headers, body)
      t.equal(first.statusCode, preset.answer?.status ?? 200, name)
      if (first.statusCode === 204) t.equal(first.payload, '')
      const again = await post(g, name, headers, body)
      t.equal(again.statusCode, first.statusCode)
      const stored = await g.stored(name)
      t.equal(stored.length, 1, name)
      const hasId = preset.id !== undefined && !preset.id.firstOfBatch
      if (hasId) t.equal(stored[0]?.id, 'd1', name)
      else t.match(stored[0]?.id, /^[0-9a-f]{64}$/, name)
      t.equal(stored[0]?.type, preset.eventType === undefined ? `${name}.event` : `${name}.made`)
      const names = preset.subject?.json !== undefined && preset.subject.headers === undefined
      t.equal(stored[0]?.subject, names ? 'sample' : undefined, name)
    }
  }
)

t.test('an id that is not signed counts only as long as old deliveries are refused', async (t) => {
  const sources = { windowed: { preset: 'zendesk' }, any: { preset: 'zendesk', toleranceSeconds: null } }
  const g = await gateway(t, { sources }, { WEBHOOK_SECRET_WINDOWED: 'secret', WEBHOOK_SECRET_ANY: 'secret' })
  const body = Buffer.from('{"type":"a"}')
  const send = (source: string, id: string, now: number) =>
    post(g, source, signWebhook('zendesk', { secret: 'secret', body, now, id }), body)
  const old = Date.now() - 86_400_000
  t.equal((await send('windowed', '1', old)).statusCode, 401)
  t.equal((await send('any', '1', old)).json().duplicate, false)
  t.equal((await send('any', '2', old)).json().duplicate, true)
})

t.test('two producers behind one CloudEvents sender may use the same id', async (t) => {
  const g = await gateway(t, { sources: { ce: { preset: 'cloudevents' } } }, { WEBHOOK_SECRET_CE: 'secret' })
  const send = (source: string) =>
    post(
      g,
      'ce',
      { authorization: 'Bearer secret', 'ce-id': '1', 'ce-source': source, 'ce-type': 'a.b', 'ce-subject': 's' },
      '{}'
    )
  t.equal((await send('/one')).json().duplicate, false)
  t.equal((await send('/two')).json().duplicate, false)
  t.equal((await send('/one')).json().duplicate, true)
  t.match(await g.stored('ce'), [{ id: '1', type: 'ce.a.b', subject: 's' }, { id: '1' }])
})
