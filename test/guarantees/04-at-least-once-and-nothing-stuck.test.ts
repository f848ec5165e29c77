import { setTimeout as pause } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import t from 'tap'
import { rowFrom } from '../../src/streams/reader.ts'
import { type ConsumerProcess, consumeScene, type Scene } from '../fixtures/consumers.ts'
import { until } from '../fixtures/until.ts'

const ORDERS = 20_000
const KILLS = 50
const PROCESSES = 4
const groups = { g: { concurrency: 100, staleAfterMs: 1_000 } }

const isAlive = ({ child }: ConsumerProcess) => child.exitCode === null && child.signalCode === null
const amountOf = (n: number) => (n * 7919) % 100_000

/** Posts the orders bit by bit, so that there is always work while processes die. */
async function post(scene: Scene, isOver: () => boolean): Promise<void> {
  const batch = 200
  for (let n = 0; n < ORDERS; n += batch) {
    const scripts = Array.from({ length: batch }, (_, i) => ({
      ms: 20 + (((n + i) * 97) % 181),
      amount: amountOf(n + i)
    }))
    await scene.append(`order-${n / batch}`, scripts)
    // The last orders wait for the last kills.
    await pause(n > ORDERS * 0.95 && !isOver() ? 1_000 : 200)
  }
}

/** True while the process runs an order alone: its death would be evidence against that order, and would be charged. */
async function runsAlone({ redis, keys }: Scene, { child }: ConsumerProcess): Promise<boolean> {
  const consumers = ((await redis.xinfo('CONSUMERS', keys.stream, 'g')) as unknown[][]).map(rowFrom)
  return consumers.some(
    ({ name, pending }) => new RegExp(`-${child.pid}-.*:alone$`).test(String(name)) && pending !== 0
  )
}

/** Freezes the process; false, and it goes on, if it was running an order alone. */
async function stopsInCompany(scene: Scene, victim: ConsumerProcess): Promise<boolean> {
  victim.kill('SIGSTOP')
  if (!(await runsAlone(scene, victim))) return true
  victim.kill('SIGCONT')
  return false
}

/** Kills processes at random moments, and starts one for each that died. */
async function killAtRandom(scene: Scene, processes: ConsumerProcess[]): Promise<void> {
  for (let kills = 0; kills < KILLS; kills++) {
    await pause(100 + Math.random() * 700)
    await until(() => processes.some(isAlive))
    const alive = processes.filter(isAlive)
    const victim = alive[Math.floor(Math.random() * alive.length)]
    if (victim === undefined) continue
    await until(() => stopsInCompany(scene, victim), { what: 'a victim that runs nothing alone' })
    victim.kill('SIGKILL')
    await victim.exited
    void scene.spawn(groups, { quiet: true }).then((process) => processes.push(process))
  }
}

/** The most crashes any pending entry has been charged with. */
async function mostCrashes(redis: Redis, stream: string): Promise<number> {
  const rows = (await redis.xpending(stream, 'g', '-', '+', 5_000)) as [string, string, number, number][]
  return Math.max(0, ...rows.map(([, , , deliveries]) => deliveries - 1))
}

t.test('while processes are killed at random, every order is handled, none is stuck or dead', async (t) => {
  const scene = await consumeScene(t)
  const { redis, keys, prefix } = scene
  const processes = await Promise.all(Array.from({ length: PROCESSES }, () => scene.spawn(groups, { quiet: true })))
  let over = false
  let most = 0
  const watching = (async () => {
    while (!over) {
      most = Math.max(most, await mostCrashes(redis, keys.stream))
      await pause(30)
    }
  })()
  let killed = false
  const killing = killAtRandom(scene, processes).then(() => {
    killed = true
  })
  await Promise.all([post(scene, () => killed), killing])
  await until(async () => (await scene.open('g')) === 0, { deadlineMs: 60_000, what: 'nothing is open' })
  over = true
  await watching

  t.ok(processes.filter((process) => !isAlive(process)).length >= KILLS, `${KILLS} processes were killed`)
  t.same(await scene.deadLetters('g'), [])
  const redeliveries = await scene.count('g', 'redeliveries')
  t.ok(redeliveries >= 500, `${redeliveries} redeliveries`)
  t.ok(most <= 1, `no order was charged more than ${most} crashes`)
  const wrong: string[] = []
  for (let first = 0; first < ORDERS; first += 2_000) {
    const pipeline = redis.pipeline()
    for (let n = first; n < first + 2_000; n++)
      pipeline.hmget(`${prefix}order:order-${Math.floor(n / 200)}-${n % 200}`, 'status', 'amount', 'times')
    ;((await pipeline.exec()) ?? []).forEach(([, reply], i) => {
      const [status, amount, times] = reply as string[]
      if (status !== 'fulfilled' || amount !== String(amountOf(first + i)) || Number(times) < 1)
        wrong.push(`${first + i}`)
    })
  }
  t.same(wrong, [], 'every order hash is right')
})
