import t from 'tap'
import { type ConsumerProcess, consumeScene, type Scene } from '../fixtures/consumers.ts'
import { until } from '../fixtures/until.ts'

// Each test has servers of its own and mostly waits.
t.jobs = 4

const slow = (n: number) => Array.from({ length: n }, () => ({ ms: 150 }))

/** Keeps `n` processes consuming, a new one for each that died, until the condition holds; returns all there were. */
async function supervised(
  scene: Scene,
  groups: Parameters<Scene['spawn']>[0],
  n: number,
  done: () => Promise<boolean>
): Promise<ConsumerProcess[]> {
  const all: ConsumerProcess[] = []
  const isOver = async () => {
    const alive = all.filter(({ child }) => child.exitCode === null && child.signalCode === null)
    for (let missing = n - alive.length; missing > 0; missing--) all.push(await scene.spawn(groups))
    return done()
  }
  await until(isOver, { deadlineMs: 60_000, what: 'the crashes come to an end' })
  return all
}

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
  await until(async () => (await scene.open('g')) === 0, { deadlineMs: 25_000, what: 'everything is handled' })
  const tookMs = performance.now() - killedAt
  t.ok(tookMs < 20_000, `all handled ${Math.round(tookMs)} ms after the kill`)
  const ended = new Set([...victim.seen('end'), ...rescuer.seen('end')].map(({ id }) => id))
  t.equal(ended.size, 400)
  t.same(await scene.deadLetters('g'), [])
  const crashes = await scene.count('g', 'crashes')
  t.ok(crashes >= 16 && crashes <= 20, `one crash charged to each entry in flight: ${crashes}`)
})

t.test(
  'an event that aborts its process among 64 slow neighbours in two groups ends crashed, and only that one',
  async (t) => {
    const scene = await consumeScene(t)
    const group = { concurrency: 64, staleAfterMs: 1_000, maxAttempts: 3 }
    const groups = { a: group, b: group }
    const scripts = [...slow(32), { ms: 50, does: 'abort' as const }, ...slow(32)]
    await scene.append('order', scripts)
    const done = async () => (await scene.open('a')) === 0 && (await scene.open('b')) === 0
    const all = await supervised(scene, groups, 2, done)
    for (const name of ['a', 'b']) {
      const letters = await scene.deadLetters(name)
      t.match(
        letters,
        [{ reason: 'crashed', crashes: 3, attempts: 0, event: { id: 'order-32' } }],
        `${name}: that event alone`
      )
      t.equal(letters.length, 1)
      const ended = all.flatMap((process) => process.seen('end')).filter((report) => report.group === name)
      t.equal(new Set(ended.map(({ id }) => id)).size, 64, `${name}: every neighbour is handled`)
      t.ok(
        ended.every(({ attempt }) => attempt === 1),
        `${name}: with its first attempt`
      )
      const charged = await scene.count(name, 'crashes')
      t.ok(charged <= 64 + 3, `${name}: at most one crash each: ${charged}`)
    }
    const died = all.filter(({ child }) => child.signalCode === 'SIGABRT').length
    t.ok(died <= 8, `${died} processes died of two poisoned groups`)
  }
)

t.test('an event that throws and aborts in turn ends dead after its limits; neighbours are handled once', async (t) => {
  const scene = await consumeScene(t)
  const backoff = { minMs: 20, factor: 1 }
  const groups = { g: { concurrency: 16, staleAfterMs: 1_000, maxAttempts: 3, backoff } }
  await scene.append('order', [...slow(6), { ms: 20, does: 'throw-abort' }, ...slow(6)])
  const all = await supervised(scene, groups, 2, async () => (await scene.open('g')) === 0)
  const letters = await scene.deadLetters('g')
  t.equal(letters.length, 1)
  t.match(letters[0], { event: { id: 'order-6' }, errors: { total: letters[0]?.attempts } })
  t.ok(
    (letters[0]?.attempts ?? 9) <= 3 && (letters[0]?.crashes ?? 9) <= 3,
    `${letters[0]?.reason}: ${letters[0]?.attempts} attempts, ${letters[0]?.crashes} crashes`
  )
  const neighbours = all.flatMap((process) => process.seen('end'))
  t.equal(new Set(neighbours.map(({ id }) => id)).size, 12)
  t.ok(neighbours.every(({ attempt }) => attempt === 1))
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
