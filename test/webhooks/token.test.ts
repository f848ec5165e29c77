import t from 'tap'
import { type Headers, verifyWebhook } from '../../src/webhooks/signature.ts'
import { now, secret, url } from './signed-requests.ts'

t.test('a token is taken from a header or, without one, from the query, and must be the only one', async (t) => {
  const verdict = (preset: string, headers: Headers, target = '') => {
    const found = verifyWebhook(preset, {
      secrets: ['old', secret],
      method: 'POST',
      url: url + target,
      headers,
      body: Buffer.from('{}'),
      now
    })
    return found.ok ? 'ok' : found.reason
  }
  t.equal(verdict('token', { 'x-webhook-token': secret }), 'ok')
  t.equal(verdict('token', {}, `?a=1&token=${secret}`), 'ok')
  t.equal(verdict('token', { 'x-webhook-token': 'wrong' }, `?token=${secret}`), 'bad-signature')
  t.equal(verdict('token', {}, `?token=${secret}&token=${secret}`), 'repeated-header')
  t.equal(verdict('token', {}, `#?token=${secret}`), 'missing-header')
  t.equal(verdict('token', {}), 'missing-header')
  t.equal(verdict('gitlab', { 'x-gitlab-token': 'old' }), 'ok')
  t.equal(verdict('gitlab', { 'x-gitlab-token': `${secret}x` }), 'bad-signature')
  t.equal(verdict('cloudevents', { authorization: `Bearer ${secret}` }), 'ok')
  t.equal(verdict('cloudevents', { authorization: secret }), 'malformed-header')
})

t.test('every notification of a Graph batch must carry the token', async (t) => {
  const verdict = (...states: unknown[]) => {
    const body = Buffer.from(JSON.stringify({ value: states.map((clientState) => ({ clientState })) }))
    return verifyWebhook('msgraph', { secrets: [secret], method: 'POST', headers: {}, body, now }).ok
  }
  t.equal(verdict(secret, secret), true)
  t.equal(verdict(secret, 'wrong'), false)
  t.equal(verdict(secret, null), false)
  t.equal(verdict(), false)
})
