import { threadCpuUsage } from 'node:process'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { createWaitingRoom, type WaitingRoomLimits } from '../src/waiting-room.ts'
import { until } from './fixtures/until.ts'

const limits = {
  sliceMs: 5,
  calm: { ms: 60, atLeast: 1 },
  pressed: { ms: 20, atLeast: 1 },
  lastingMs: 100,
  coldAtLeast: 1,
  coldCount: 0
}

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

/** A room that is offered work of one kind at a time, and what became of it. */
function counted(limits: WaitingRoomLimits) {
  const room = createWaitingRoom(limits)
  const of = { offered: 0, done: 0, refused: 0 }
  const offer = (times: number, run: () => void) => {
    for (let n = 0; n < times; n += 1) {
      of.offered += 1
      room.enter({
        begin() {
          run()
          of.done += 1
        },
        refuse() {
          of.refused += 1
        }
      })
    }
  }
  const waiting = () => of.offered - of.done - of.refused
  /** Offers so many, and resolves with how many of them were done once nothing waits. */
  const letIn = async (times: number, run: () => void) => {
    const before = of.refused
    offer(times, run)
    await until(() => waiting() === 0)
    return times - (of.refused - before)
  }
  /** So many clients for so long, each of which offers more when its last was done. */
  const clients = async (count: number, ms: number, run: () => void) => {
    const began = performance.now()
    while (performance.now() - began < ms) {
      offer(count - waiting(), run)
      await nextTurn()
    }
    await until(() => waiting() === 0)
  }
  return { of, offer, waiting, letIn, clients }
}

t.test('what a turn has no time for is done in later turns, in its order', async (t) => {
  const room = createWaitingRoom(limits)
  const done: number[] = []
  for (let n = 0; n < 6; n += 1) {
    room.enter({
      begin() {
        work(6)
        done.push(n)
      },
      refuse: () => t.fail(`${n} is refused`)
    })
  }
  t.same(done, [], 'nothing is done before the end of the turn')
  await nextTurn()
  t.same(done, [0], 'the first one has used this turn')
  await until(() => done.length === 6)
  t.same(done, [0, 1, 2, 3, 4, 5])
})

t.test('cheap work that came in one turn is done at its end', async (t) => {
  const { of, offer } = counted(limits)
  offer(10, () => spin(0.1))
  await nextTurn()
  t.match(of, { done: 10, refused: 0 })
})

t.test('a burst may wait, and less once there have been refusals for a while', async (t) => {
  const { offer, letIn, waiting } = counted(limits)
  // Each costs 6 ms: ten of them are 60. Of the first nothing is known until one is done.
  const first = await letIn(40, () => work(6))
  t.ok(first >= 7 && first <= 12, `${first} of a burst are let in`)
  const began = performance.now()
  while (performance.now() - began < 2 * limits.lastingMs) {
    offer(20, () => work(6))
    await nextTurn()
  }
  await until(() => waiting() === 0)
  const more = await letIn(40, () => work(6))
  t.ok(more >= 2 && more <= 6, `${more} are let in while it lasts`)
  await pause(limits.lastingMs + 50)
  t.ok((await letIn(40, () => work(6))) >= 7, 'it was quiet for a while')
})

t.test('clients that wait for their answers are no overload, however long they keep the loop busy', async (t) => {
  const { of, clients } = counted(limits)
  await clients(6, 4 * limits.lastingMs, () => work(6))
  t.equal(of.refused, 0)
})

t.test('what is refused leaves nothing behind', async (t) => {
  const { of, offer, waiting } = counted(limits)
  for (let turn = 0; turn < 50; turn += 1) {
    offer(100, () => work(6))
    await nextTurn()
    const immediates = process.getActiveResourcesInfo().filter((kind) => kind === 'Immediate').length
    t.ok(immediates <= waiting() + 40, `${immediates} callbacks for ${waiting()} that wait`)
  }
  t.ok(of.refused > 4_500)
  await until(() => waiting() === 0)
})

t.test('what a process does first says nothing of what it will cost: more of it may wait', async (t) => {
  const { letIn } = counted({ ...limits, coldAtLeast: 20, coldCount: 22 })
  t.equal(await letIn(22, () => work(8)), 21, 'when one is done twenty may wait, 160 ms of work')
  t.equal(await letIn(1, () => work(8)), 1)
  const warm = await letIn(20, () => work(8))
  t.ok(warm >= 1 && warm < 15, `${warm} are let in once it is warm`)
})

t.test('one turn that went to something else does not make work dear', async (t) => {
  const { letIn } = counted({ ...limits, pressed: limits.calm })
  for (let turn = 0; turn < 40; turn += 1) t.equal(await letIn(48, () => spin(0.25)), 48)
  // As long as a garbage collection may take.
  t.equal(await letIn(1, () => spin(20)), 1)
  t.equal(await letIn(30, () => spin(0.25)), 30)
})

t.test('so much may wait at any time, whatever it costs', async (t) => {
  const { of, clients } = counted({ ...limits, calm: { ms: 60, atLeast: 16 } })
  await clients(16, 3 * limits.lastingMs, () => work(8))
  t.equal(of.refused, 0)
})

t.test('a process that is kept from the processor refuses nothing', async (t) => {
  const { letIn } = counted(limits)
  for (let turn = 0; turn < 3; turn += 1) t.equal(await letIn(20, () => stall(5)), 20)
})
