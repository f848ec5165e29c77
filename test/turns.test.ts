import { threadCpuUsage } from 'node:process'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { createTurns } from '../src/turns.ts'

function work(ms: number): void {
  const before = threadCpuUsage()
  const used = () => {
    const { user, system } = threadCpuUsage(before)
    return (user + system) / 1_000
  }
  while (used() < ms);
}

/** The thread is there and does nothing, as when others have the processor. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

t.test('a turn may use what a burst may, and less once turns have used too much for a while', async (t) => {
  const turns = createTurns(5, 40, 20)
  t.notOk(turns.isSpent(), 'nothing has arrived')
  turns.begin()
  work(10)
  t.notOk(turns.isSpent(), 'a burst')
  work(35)
  t.ok(turns.isSpent())
  await nextTurn()
  turns.begin()
  t.notOk(turns.isSpent(), 'a new turn')
  work(6)
  t.ok(turns.isSpent(), 'turns have used more than 5 ms for longer than 20 ms')
  await nextTurn()
  turns.begin()
  await nextTurn()
  turns.begin()
  work(6)
  t.notOk(turns.isSpent(), 'the turn before was a short one')
  await pause(25)
  turns.begin()
  work(6)
  t.notOk(turns.isSpent(), 'it was quiet for a while')
})

t.test('a process that is kept from the processor has not used its turn', async (t) => {
  const turns = createTurns(5, 40, 20)
  for (let n = 0; n < 3; n += 1) {
    turns.begin()
    stall(60)
    t.notOk(turns.isSpent())
    await nextTurn()
  }
})
