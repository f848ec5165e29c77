/** The lag of a whole topology, of which a part may be away: on a Cluster a lost node hides its own streams only. */
import type { StreamDefinition } from '../topology.ts'
import type { GroupLag } from './lag.ts'
import { physicalStreams } from './partitions.ts'
import { redisFailure } from './redis-errors.ts'

export interface LagOfAll {
  items: GroupLag[]
  /** Streams whose server does not answer, by their names in the topology. */
  unreachable: string[]
}

/** An operator who looks during an outage waits no longer for what is out. */
const PATIENCE_MS = 3_000

/** Rejects when no stream answers, and with what a server refuses for good. */
export async function lagOfAll(
  lag: (only: readonly StreamDefinition[]) => Promise<GroupLag[]>,
  topologyStreams: Iterable<StreamDefinition>
): Promise<LagOfAll> {
  const streams = Array.from(topologyStreams)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('Command timed out')), PATIENCE_MS)
  })
  const answers = await Promise.allSettled(
    streams.map((stream) => Promise.race([lag(physicalStreams(stream)), late]))
  ).finally(() => clearTimeout(timer))
  const items: GroupLag[] = []
  const unreachable: string[] = []
  answers.forEach((answer, n) => {
    if (answer.status === 'fulfilled') items.push(...answer.value)
    else if (unreachable.length === streams.length - 1 || redisFailure(answer.reason) === 'denied') throw answer.reason
    else unreachable.push((streams[n] as StreamDefinition).name)
  })
  return { items, unreachable }
}
