import { threadCpuUsage } from 'node:process'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { createWaitingRoom } from '../src/waiting-room.ts'
import { until } from './fixtures/until.ts'

const limits = { sliceMs: 5, burstMs: 60, busyMs: 20, lastingMs: 100, atLeast: 1, coldAtLeast: 1, coldCount: 0 }

/** So much CPU time, and no less by the clock: CPU time may come in ticks of 4 ms. */
function work(ms: number): void {
  const began = performance.now()
  const before = threadCpuUsage()
  const usedMs = () => {
    const { user, system } = threadCpuUsage(before)
    return (user + system) / 1_000
  }
  while (usedMs() < ms || performance.now() - began < ms);
}

/** By the clock alone, for less than a tick. */
function spin(ms: number): void {
  const began = performance.now()
  while (performance.now() - began < ms);
}

/** The thread is there and does nothing, as when others have the processor. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

t.test('what a turn has no time for is done in later turns, in its order', async (t) => {
  const room = createWaitingRoom(limits)
  const done: number[] = []
  for (let n = 0; n < 6; n += 1) {
    const isIn = room.enter(() => {
      work(6)
      done.push(n)
    })
    t.ok(isIn)
  }
  t.same(done, [0], 'the first one has used this turn')
  await nextTurn()
  t.ok(done.length < 6, 'each has a turn of its own')
  await until(() => done.length === 6)
  t.same(done, [0, 1, 2, 3, 4, 5])
})

t.test('a burst may wait, and less once there has been a queue for a while', async (t) => {
  const room = createWaitingRoom(limits)
  let done = 0
  const offer = (times: number) =>
    Array.from({ length: times }, () =>
      room.enter(() => {
        work(6)
        done += 1
      })
    ).filter((isIn) => isIn).length
  // Each costs 6 ms: ten of them are 60.
  const burst = offer(40)
  t.ok(burst >= 7 && burst <= 12, `${burst} of a burst are let in`)
  const began = performance.now()
  let offered = burst
  await until(() => {
    offered += offer(1)
    return performance.now() - began > 2 * limits.lastingMs
  })
  await until(() => done === offered)
  const more = offer(40)
  t.ok(more >= 2 && more <= 6, `${more} are let in while it lasts`)
  await until(() => done === offered + more)
  await pause(limits.lastingMs + 50)
  t.ok(offer(40) >= 7, 'it was quiet for a while')
})

t.test('what a process does first says nothing of what it will cost: more of it may wait', async (t) => {
  const room = createWaitingRoom({ ...limits, coldAtLeast: 20, coldCount: 22 })
  let done = 0
  const offer = () =>
    room.enter(() => {
      work(8)
      done += 1
    })
  // The first is done at once; twenty wait, 160 ms of work.
  for (let n = 0; n < 21; n += 1) t.ok(offer(), `${n} were before it`)
  t.notOk(offer(), 'one more is late')
  await until(() => done === 21)
  t.ok(offer())
  await until(() => done === 22)
  let more = 0
  while (offer()) more += 1
  t.ok(more < 15, `${more} are let in once it is warm`)
  await until(() => done === 22 + more)
})

t.test('one turn that went to something else does not make work dear', async (t) => {
  const room = createWaitingRoom({ ...limits, busyMs: 60 })
  let offered = 0
  let done = 0
  /** How many of so many pieces of work are let in. */
  const offer = (times: number, ms: number) => {
    const isIn = () =>
      room.enter(() => {
        spin(ms)
        done += 1
      })
    const letIn = Array.from({ length: times }, isIn).filter((entered) => entered).length
    offered += letIn
    return letIn
  }
  for (let turn = 0; turn < 40; turn += 1) {
    t.equal(offer(48, 0.25), 48)
    await until(() => done === offered)
  }
  // As long as a garbage collection may take.
  t.equal(offer(1, 20), 1)
  t.equal(offer(30, 0.25), 30)
  await until(() => done === offered)
})

t.test('so much may wait at any time, whatever it costs', async (t) => {
  const room = createWaitingRoom({ ...limits, atLeast: 16 })
  let done = 0
  const offer = () =>
    room.enter(() => {
      work(8)
      done += 1
    })
  let offered = 0
  const began = performance.now()
  while (performance.now() - began < 3 * limits.lastingMs) {
    // Sixteen clients that wait for their answers.
    while (offered - done < 16) {
      t.ok(offer(), `${offered - done} are waiting`)
      offered += 1
    }
    await nextTurn()
  }
  await until(() => done === offered)
})

t.test('a process that is kept from the processor refuses nothing', async (t) => {
  const room = createWaitingRoom(limits)
  for (let turn = 0; turn < 3; turn += 1) {
    for (let n = 0; n < 20; n += 1) t.ok(room.enter(() => stall(5)))
    await nextTurn()
  }
})
