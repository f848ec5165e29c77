/** Asking about every stream of a topology, some of which may be away: on a Cluster a lost node hides its own streams only. */
import { redisFailure } from './redis-errors.ts'

export interface Reached<T> {
  /** What was answered about the others, in their order. */
  items: T[]
  /** Streams whose server does not answer, by their names in the topology. */
  unreachable: string[]
}

/** An operator who looks during an outage waits no longer for what is out. */
const PATIENCE_MS = 3_000

/** Rejects when nothing is answered about any stream, and with what a server refuses for good. */
export async function askEach<S extends { name: string }, T>(
  streams: readonly S[],
  ask: (stream: S) => Promise<T>
): Promise<Reached<T>> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('Command timed out')), PATIENCE_MS)
  })
  const answers = await Promise.allSettled(streams.map((stream) => Promise.race([ask(stream), late]))).finally(() =>
    clearTimeout(timer)
  )
  const items: T[] = []
  const unreachable: string[] = []
  answers.forEach((answer, n) => {
    if (answer.status === 'fulfilled') items.push(answer.value)
    else if (unreachable.length === streams.length - 1 || redisFailure(answer.reason) === 'denied') throw answer.reason
    else unreachable.push((streams[n] as S).name)
  })
  return { items, unreachable }
}
