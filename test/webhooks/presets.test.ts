import t from 'tap'
import { deliveryIdentity, type HmacPreset, type PresetDefinition } from '../../src/webhooks/preset-definition.ts'
import { presetOf, presets } from '../../src/webhooks/presets.ts'
import { checkPreset, checkSecret, verifyWebhook } from '../../src/webhooks/signature.ts'

const sound: HmacPreset = {
  kind: 'hmac',
  algorithm: 'sha256',
  signature: { headers: ['x-signature'], encoding: 'hex', format: { type: 'raw' } },
  key: { encoding: 'utf8' },
  signed: '{timestamp}.{body}',
  timestamp: { headers: ['x-timestamp'], unit: 's', tolerance: 300 }
}

t.test('every preset of the table is sound by the rules for a definition', async (t) => {
  for (const [name, definition] of presets) t.same(checkPreset(definition), [], name)
  t.same(checkPreset(sound), [])
})

t.test('a definition with a fault is refused at start, with the fault named', async (t) => {
  const faulty: [object, RegExp][] = [
    [{ signed: '{body}' }, /timestamp is not part of signed/],
    [{ signed: '{timestamp}' }, /\{body\} is missing/],
    [{ signed: '{timestamp}{body}{nonce}' }, /\{nonce\} is unknown/],
    [{ signed: '{id}{timestamp}{body}' }, /\{id\} needs id\.headers/],
    [{ timestamp: undefined }, /\{timestamp\} needs timestamp/],
    [{ timestamp: { field: true, unit: 's', tolerance: 300 } }, /needs signature\.format\.timestampKey/],
    [{ timestamp: { headers: ['x-timestamp'], unit: 's', tolerance: 0 } }, /tolerance is seconds above 0/],
    [{ timestamp: { headers: ['x-timestamp'], unit: 'h', tolerance: 9 } }, /unit is/],
    [{ algorithm: 'md5' }, /algorithm 'md5' is unknown/],
    [{ kind: 'publicKey' }, /algorithm 'sha256' is unknown/],
    [{ kind: 'none' }, /kind is/],
    [{ key: { encoding: 'latin1' } }, /key\.encoding/],
    [{ signature: { ...sound.signature, headers: ['X-Signature'] } }, /lower-case/],
    [{ signature: { ...sound.signature, headers: [] } }, /at least one/],
    [{ signature: { ...sound.signature, format: { type: 'prefixed' } } }, /format\.prefix is missing/],
    [{ signature: { ...sound.signature, format: { type: 'toString' } } }, /format\.type is one of/],
    [{ id: { json: ['id'] } }, /id\.json lists JSON pointers/],
    [{ answer: { status: 302 } }, /2xx/],
    [{ handshake: 'dance' }, /handshake is one of/]
  ]
  for (const [change, fault] of faulty) {
    const definition = { ...sound, ...change } as PresetDefinition
    t.match(checkPreset(definition).join('\n'), fault)
    const request = { secrets: ['s'], method: 'POST', headers: {}, body: Buffer.from(''), now: 0 }
    t.same(verifyWebhook(definition, request), { ok: false, reason: 'unknown-preset' }, 'nor does it ever verify')
  }
  t.match(checkPreset({ kind: 'token', token: {} }), ['token has headers, query or json'])
  t.match(checkPreset(null as unknown as PresetDefinition), [/kind is/])
  t.match(checkPreset('githup'), ["there is no preset 'githup'"])
})

t.test('an unusable secret is a fault at start, and the fault does not quote it', async (t) => {
  const unusable: [string, string][] = [
    ['github', ''],
    ['github', ' hunter2'],
    ['github', 'hunter2\n'],
    ['token', ''],
    ['standard-webhooks', 'whsec_not*base64'],
    ['standard-webhooks', 'whsec_'],
    ['adyen', 'not-hex'],
    ['discord', 'abcd'],
    ['discord', 'zz'.repeat(32)],
    ['sendgrid', 'MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE'],
    ['standard-webhooks-ed25519', 'whpk_AAAA']
  ]
  for (const [preset, secret] of unusable) {
    const faults = checkSecret(preset, secret)
    t.equal(faults.length, 1, `${preset}: ${faults[0]}`)
    if (secret.length > 4) t.notOk(faults[0]?.includes(secret), 'not quoted')
  }
  t.same(checkSecret('github', "It's a Secret to Everybody"), [])
})

t.test('it is known of every sender whether its delivery id and a timestamp are signed', async (t) => {
  const of = (name: string) => deliveryIdentity(presetOf(name) as PresetDefinition)
  t.match(of('standard-webhooks'), { idSigned: true, timestampSigned: true, toleranceSeconds: 300 })
  t.match(of('github'), { idSigned: false, timestampSigned: false, toleranceSeconds: null, firstOfBatch: false })
  t.match(of('stripe'), { idSigned: true, timestampSigned: true })
  t.match(of('zendesk'), { idSigned: false, timestampSigned: true })
  t.match(of('hubspot'), { idSigned: true, timestampSigned: true, firstOfBatch: true })
  t.match(of('meta'), { idSigned: false, timestampSigned: false })
  t.match(of('gitlab'), { idSigned: false, timestampSigned: false })
  const either = { headers: ['x-id'], json: ['/id'] }
  t.match(deliveryIdentity({ ...sound, id: either }), { idSigned: false }, 'one that may come from a header')
  t.match(of('discord'), { timestampSigned: true, toleranceSeconds: null })
})
