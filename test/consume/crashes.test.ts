import t from 'tap'
import { consumeScene } from '../fixtures/consumers.ts'
import { until } from '../fixtures/until.ts'

// Each test has servers of its own and mostly waits.
t.jobs = 4

t.test('after SIGKILL with 16 orders in flight another process finishes all of them within 15 s + 5 s', async (t) => {
  const scene = await consumeScene(t)
  const groups = { g: { concurrency: 20 } }
  const rescuer = await scene.spawn(groups)
  const victim = await scene.spawn(groups)
  await scene.append(
    'order',
    Array.from({ length: 400 }, (_, n) => ({ ms: 50 + ((n * 97) % 450) }))
  )
  await until(() => victim.running() >= 18 && victim.seen('end').length > 30)
  victim.kill('SIGKILL')
  const killedAt = performance.now()
  await victim.exited
  const inFlight = victim.running()
  t.ok(inFlight >= 16, `${inFlight} in flight`)
  // What had ended and was not acknowledged yet counts as in flight too: nobody but the victim knew.
  const held = ((await scene.redis.xpending(scene.keys.stream, 'g', '-', '+', 100, victim.consumer)) as unknown[])
    .length
  t.ok(held >= inFlight, `${held} held`)
  await until(async () => (await scene.open('g')) === 0, { deadlineMs: 25_000, what: 'everything is handled' })
  const tookMs = performance.now() - killedAt
  t.ok(tookMs < 20_000, `all handled ${Math.round(tookMs)} ms after the kill`)
  const ended = new Set([...victim.seen('end'), ...rescuer.seen('end')].map(({ id }) => id))
  t.equal(ended.size, 400)
  t.same(await scene.deadLetters('g'), [])
  t.equal(await scene.count('g', 'crashes'), held, 'one crash is charged to each entry it held')
})

t.test('while a suspect runs, no other handler of its process runs', async (t) => {
  const scene = await consumeScene(t)
  const group = { concurrency: 8, staleAfterMs: 1_000 }
  const victim = await scene.spawn({ a: group })
  await scene.append('suspect', [{ ms: 300 }, { ms: 300 }])
  await until(() => victim.running() === 2)
  victim.kill('SIGKILL')
  const rescuer = await scene.spawn({ a: group, b: group })
  let appended = 0
  await until(async () => {
    await scene.append(`other${appended++}`, [{ ms: 20 }])
    return rescuer.seen('end').filter(({ id, group }) => group === 'a' && id?.startsWith('suspect')).length === 2
  })
  const suspects = rescuer.seen('start').filter(({ id, group }) => group === 'a' && id?.startsWith('suspect'))
  t.equal(suspects.length, 2)
  const begin = Math.min(...suspects.map(({ at }) => at))
  const end = Math.max(
    ...rescuer
      .seen('end')
      .filter(({ id, group }) => group === 'a' && id?.startsWith('suspect'))
      .map(({ at }) => at)
  )
  const beside = rescuer.reports.filter(
    ({ at, id, group }) => at > begin && at < end && !(group === 'a' && id?.startsWith('suspect'))
  )
  t.same(beside, [], 'nothing else starts or ends meanwhile')
  t.ok(appended > 10)
})
