import t from 'tap'
import { startGateway } from '../fixtures/gateway.ts'
import { type Attempt, isAllDone, misplaced, postOnce, startPosting } from '../fixtures/posting.ts'
import { recording } from '../fixtures/recorded.ts'
import { startSentinels } from '../fixtures/sentinel.ts'
import { until } from '../fixtures/until.ts'

const stream = 'test:red:posted'

t.test(
  'the master that Sentinels watch is killed: refusals while it fails over, and nothing lost or stuck',
  async (t) => {
    const sentinels = await startSentinels(t)
    const { env, unhandled } = await recording(t, { [stream]: { durability: 'replicated', replicas: 'all' } })
    const gateways = await Promise.all([0, 1].map(() => startGateway(t, { REDIS_URL: sentinels.url, ...env })))
    const ports = gateways.map(({ port }) => port)
    const posting = startPosting(t, { ports, streams: [stream], name: 'kill' })
    await until(() => posting.accepted.size > 100)

    const master = await sentinels.master()
    const killedAt = performance.now()
    await master.kill('SIGKILL')
    const successor = await until(
      async () => {
        const now = await sentinels.master()
        return now === master ? undefined : now
      },
      { deadlineMs: 20_000, what: 'the Sentinels have a new master' }
    )
    const promotedAt = performance.now()
    const isBack = ({ status, at }: Attempt) => status === 202 && at > promotedAt
    await until(() => posting.attempts.filter(isBack).length > 20, { what: 'appends go on by themselves' })
    await posting.finish()

    const refused = posting.attempts.filter(({ status }) => status !== 202)
    t.ok(refused.every(({ status, at }) => status === 503 && at > killedAt))
    const codes = new Set(refused.map(({ code }) => code))
    t.comment(`${posting.accepted.size} accepted, ${refused.length} refused: ${[...codes]}`)
    const redis = successor?.client()
    if (redis === undefined) throw new Error('there is a new master')
    t.same(await misplaced(redis, posting), [])
    const [known = ''] = posting.accepted.keys()
    t.match(await postOnce(ports[0] ?? 0, stream, known), { duplicate: true, entryId: posting.accepted.get(known) })
    await until(() => unhandled(posting.accepted.keys()).length === 0, {
      what: 'consumers handle everything by themselves'
    })
    await until(() => isAllDone(ports[0] ?? 0), { what: 'nothing is stuck' })
  }
)
