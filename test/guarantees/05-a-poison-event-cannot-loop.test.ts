import t from 'tap'
import { consumeScene, supervised } from '../fixtures/consumers.ts'

// Each test has servers of its own and mostly waits.
t.jobs = 2

const slow = (n: number) => Array.from({ length: n }, () => ({ ms: 150 }))

const poisons = [
  { does: 'abort', title: 'that aborts its process' },
  { does: 'throw-abort', title: 'that throws and aborts in turn' }
] as const

for (const { does, title } of poisons) {
  t.test(
    `an event ${title}, among 64 slow neighbours in two groups, ends dead after its limits, and only that one`,
    async (t) => {
      const scene = await consumeScene(t)
      const group = { concurrency: 64, staleAfterMs: 1_000, maxAttempts: 3, backoff: { minMs: 20, factor: 1 } }
      await scene.append('order', [...slow(32), { ms: 50, does }, ...slow(32)])
      const done = async () => (await scene.open('a')) === 0 && (await scene.open('b')) === 0
      const all = await supervised(scene, { a: group, b: group }, 2, done)
      for (const name of ['a', 'b']) {
        const letters = await scene.deadLetters(name)
        t.equal(letters.length, 1, `${name}: one dead letter`)
        const [letter] = letters
        t.equal(letter?.event.id, 'order-32', `${name}: that event`)
        if (does === 'abort') t.match(letter, { reason: 'crashed', crashes: 3, attempts: 0 })
        const { attempts = 9, crashes = 9 } = letter ?? {}
        t.ok(attempts <= 3 && crashes <= 3, `${name}: ${letter?.reason}, ${attempts} attempts, ${crashes} crashes`)
        t.equal(letter?.errors?.total ?? 0, attempts, `${name}: every failure is in its history`)

        const ended = all.flatMap((process) => process.seen('end')).filter((report) => report.group === name)
        t.equal(new Set(ended.map(({ id }) => id)).size, 64, `${name}: every neighbour is handled`)
        const first = ended.every(({ attempt }) => attempt === 1)
        t.ok(first, `${name}: with its first attempt`)
        const charged = await scene.count(name, 'crashes')
        t.ok(charged <= 64 + crashes, `${name}: at most one crash each: ${charged}`)
      }
      const died = all.filter(({ child }) => child.signalCode === 'SIGABRT').length
      // For each group one in the first place, three rounds that get smaller, and two for the event alone.
      t.ok(died <= 12, `${died} processes died of two poisoned groups`)
    }
  )
}
