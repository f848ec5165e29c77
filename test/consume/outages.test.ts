import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { type ConsumerProcess, consumeScene } from '../fixtures/consumers.ts'
import { until } from '../fixtures/until.ts'

// Each test has servers of its own and mostly waits.
t.jobs = 4

const STALE_MS = 1_500

/** The most calls of one event that ran at the same time, over all processes. */
function mostAtOnce(processes: ConsumerProcess[]): number {
  const running = new Map<string, number>()
  let most = 0
  const reports = processes.flatMap((process) => process.reports).sort((a, b) => a.at - b.at)
  for (const { what, id = '' } of reports) {
    if (what !== 'start' && what !== 'end' && what !== 'failed') continue
    const now = (running.get(id) ?? 0) + (what === 'start' ? 1 : -1)
    running.set(id, now)
    most = Math.max(most, now)
  }
  return most
}

for (const outage of ['restarted', 'stopped'] as const) {
  t.test(
    `Redis ${outage} for twice staleAfterMs: no live consumer is robbed, nothing is charged, all is handled`,
    async (t) => {
      const scene = await consumeScene(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
      const groups = { g: { concurrency: 8, staleAfterMs: STALE_MS } }
      const processes = await Promise.all(Array.from({ length: 4 }, () => scene.spawn(groups)))
      // Long enough for both to trust what they see.
      await pause(STALE_MS + 500)
      // Some handlers end before Redis goes, some while it is away, some when it is back.
      await scene.append(
        'order',
        Array.from({ length: 24 }, (_, n) => ({ ms: ((n % 4) + 1) * 0.75 * STALE_MS }))
      )
      await until(() => processes.reduce((sum, process) => sum + process.running(), 0) >= 12)
      if (outage === 'restarted') await scene.server.kill('SIGKILL')
      else scene.server.pause()
      await pause(2 * STALE_MS)
      if (outage === 'restarted') await scene.server.start()
      else scene.server.resume()
      await until(async () => (await scene.open('g')) === 0, { deadlineMs: 60_000, what: 'everything is handled' })
      t.equal(await scene.count('g', 'crashes'), 0)
      t.equal(await scene.count('g', 'redeliveries'), 0)
      t.equal(mostAtOnce(processes), 1, 'nothing ran twice at once')
      const handled = processes.flatMap((process) => process.seen('end').map(({ id }) => id))
      t.equal(new Set(handled).size, 24)
      t.same(await scene.deadLetters('g'), [])
    }
  )
}

t.test('with every connection killed again and again nothing runs twice at once and nothing is stuck', async (t) => {
  const scene = await consumeScene(t)
  const groups = { g: { concurrency: 8, staleAfterMs: STALE_MS } }
  const processes = await Promise.all(Array.from({ length: 4 }, () => scene.spawn(groups)))
  const appended = 1_500
  let kills = 0
  let done = false
  const killing = (async () => {
    while (!done) {
      await scene.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      kills += 1
      await pause(100)
    }
  })()
  for (let n = 0; n < 15; n++) {
    await scene.append(
      `order${n}`,
      Array.from({ length: appended / 15 }, (_, i) => ({ ms: 5 + (i % 40) }))
    )
    await pause(50)
  }
  await until(
    () => new Set(processes.flatMap((process) => process.seen('end').map(({ id }) => id))).size === appended,
    {
      deadlineMs: 60_000,
      what: 'every order is handled'
    }
  )
  t.ok(kills > 10, `${kills} kills`)
  done = true
  await killing
  await until(async () => (await scene.open('g')) === 0, { what: 'every ack arrives' })
  t.equal(mostAtOnce(processes), 1, 'nothing ran twice at once')
  t.equal(await scene.count('g', 'crashes'), 0)
  t.equal(await scene.count('g', 'redeliveries'), 0)
})
