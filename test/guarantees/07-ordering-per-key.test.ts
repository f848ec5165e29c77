import t from 'tap'
import { type OrderedProcess, orderedScene } from '../fixtures/ordered.ts'
import { until } from '../fixtures/until.ts'

const KEYS = 200
const EVENTS = 50
const PROCESSES = 4
const KILLS = 10
/** So many keys have one event each that fails three times. */
const FAILING = 12

t.test(
  'the events of each key are handled in the order they were appended, whatever happens to processes',
  { timeout: 150_000 },
  async (t) => {
    const scene = await orderedScene(t, 8)
    const group = {
      staleAfterMs: 1_000,
      backoff: { minMs: 400, factor: 1, jitter: 0.2 },
      maxAttempts: 8,
      concurrency: 16
    }
    const fails = (key: number, n: number) => (key < FAILING && n === 5 ? 3 : 0)
    let appended = 0
    const append = async (rounds: number) => {
      for (const end = Math.min(EVENTS, appended + rounds); appended < end; appended += 1) {
        const n = appended
        const round = Array.from({ length: KEYS }, (_, key) => ({ key: `k${key}`, n, ms: 50, fails: fails(key, n) }))
        await scene.append(round.toSorted(() => Math.random() - 0.5))
      }
    }
    await append(10)
    let living: OrderedProcess[] = []
    for (let n = 0; n < PROCESSES; n += 1) living.push(await scene.spawn(group))

    let kills = 0
    const deadline = performance.now() + 120_000
    while ((kills < KILLS || (await scene.open()) > 0) && performance.now() < deadline) {
      // There is always something to do when a process dies.
      await append(4)
      // Every other kill comes when the partitions of the last victim are just being taken over.
      const waitMs = kills % 2 === 0 ? 500 + Math.random() * 1_000 : 900 + Math.random() * 300
      const at = performance.now() + waitMs
      await until(() => performance.now() > at)
      if (kills >= KILLS) continue
      const victim = living[Math.floor(Math.random() * living.length)] as OrderedProcess
      victim.kill('SIGKILL')
      kills += 1
      living = [...living.filter((process) => process !== victim), await scene.spawn(group)]
    }
    t.equal(await scene.open(), 0, 'everything was handled')
    t.equal(kills, KILLS)

    const wrong: string[] = []
    let repeated = 0
    let cutOff = 0
    for (let key = 0; key < KEYS; key += 1) {
      const records = await scene.records(`k${key}`)
      cutOff += records.reduce((sum, { what }) => sum + (what === 'start' ? 1 : -1), 0)
      const ended = records.filter(({ what }) => what === 'end').map(({ n }) => n)
      const distinct = [...new Set(ended)]
      repeated += ended.length - distinct.length
      const inOrder = ended.every((n, i) => i === 0 || n >= (ended[i - 1] as number))
      if (!inOrder || distinct.length !== EVENTS) wrong.push(`k${key}: ${ended.join(' ')}`)
    }
    t.same(wrong, [], 'each key: all its events, in their order')
    t.ok(cutOff >= KILLS, `${cutOff} handlers died with their process`)
    t.comment(`${kills} kills, ${repeated} events handled again`)
    t.same(await scene.deadLetters(), [])

    let waited = 0
    for (let key = 0; key < FAILING; key += 1) {
      const records = (await scene.records(`k${key}`)).filter(({ n }) => n === 5)
      const failures = records.filter(({ what }) => what === 'failed')
      if (failures.length < 3) continue
      const [from, to] = [failures[0]?.at ?? 0, failures.at(-1)?.at ?? 0]
      const siblings = await handledBetween(key, from, to)
      if (siblings > 0) waited += 1
    }
    t.ok(waited >= FAILING - 2, `${waited} keys waited for three attempts while others went on`)

    async function handledBetween(key: number, from: number, to: number): Promise<number> {
      let count = 0
      for (const sibling of scene.siblings(`k${key}`, KEYS)) {
        const records = await scene.records(sibling)
        count += records.filter(({ what, at }) => what === 'end' && at > from && at < to).length
      }
      return count
    }
  }
)
