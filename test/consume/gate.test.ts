import t from 'tap'
import { Gate } from '../../src/consume/gate.ts'

const { signal } = new AbortController()

t.test('a round alone waits for those inside, and nobody enters until it is over', async (t) => {
  const gate = new Gate()
  t.equal(gate.tryEnter(), true)
  t.equal(gate.tryEnter(), true)
  const round = Promise.withResolvers<void>()
  let began = false
  const alone = gate.alone(1_000, signal, async () => {
    began = true
    await round.promise
  })
  await new Promise(setImmediate)
  t.equal(gate.tryEnter(), false)
  gate.leave()
  await new Promise(setImmediate)
  t.equal(began, false)
  gate.leave()
  await new Promise(setImmediate)
  t.equal(began, true)
  t.equal(gate.tryEnter(), false)
  round.resolve()
  await alone
  t.equal(gate.tryEnter(), true)
})

t.test('rounds run one after the other, and a failing one opens the gate again', async (t) => {
  const gate = new Gate()
  const order: string[] = []
  const first = gate.alone(1_000, signal, async () => {
    order.push('first begins')
    await new Promise(setImmediate)
    order.push('first ends')
    throw new Error('lost')
  })
  const second = gate.alone(1_000, signal, async () => order.push('second'))
  await t.rejects(first, { message: 'lost' })
  await second
  t.same(order, ['first begins', 'first ends', 'second'])
  t.equal(gate.open, true)
})

t.test('after a whole turn alone the gate stays open for as long', async (t) => {
  const gate = new Gate()
  const busy = (ms: number) => () => new Promise<void>((resolve) => setTimeout(resolve, ms))
  await gate.alone(50, signal, busy(80))
  const begin = performance.now()
  let openMeanwhile = false
  gate.onOpen(() => undefined)
  const second = gate.alone(50, signal, async () => performance.now() - begin)
  openMeanwhile = gate.tryEnter()
  gate.leave()
  const waited = await second
  t.equal(openMeanwhile, true)
  t.ok(waited > 60, `waited ${Math.round(waited)} ms`)
})
