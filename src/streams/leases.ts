/**
 * Leases: which process handles one partition for an ordered group. There is at most one owner at any moment by the
 * clock of Redis, and every step of an owner is checked against the lease inside Redis, in the same script: what a process
 * does after its lease has run out is refused, even if it has not noticed.
 *
 *   free -> owned -> given back (free) | run out (free, in doubt)
 *
 * In doubt: the owner vanished, perhaps because of an entry it ran. Until its successor has run those that it may have
 * been alone, the partition stays in doubt, whoever owns it. The generation grows with every change; handlers get it as
 * `fence`.
 */
import { command } from './commands.ts'
import type { GroupAddress } from './groups.ts'

export interface Lease {
  owner: string
  generation: number
}

/** Keeps a group together over its partitions: who lives, and whether the group is paused as a whole. */
export interface OrderedPulse {
  /** Redis milliseconds. */
  now: number
  paused: boolean
  /** Consumers whose heartbeat is fresh, in the order of their names; this one included. */
  living: string[]
}

/** What a renewal learns. */
export interface Renewal {
  paused: boolean
  dead: number
  /** Id of a rebuild that somebody asks for. */
  rebuild?: string
}

/** One heartbeat. `at.keys` are those of the partitioned stream's own name. Arrives at maxmemory too. */
export async function orderedBeat(at: GroupAddress, consumer: string, staleAfterMs: number): Promise<OrderedPulse> {
  const { live, paused } = at.keys.group(at.group)
  const run = command<[number, number, string[]]>(at.redis, 'ordered-beat')
  const [now, isPaused, living] = await run([live, paused], [consumer, staleAfterMs])
  return { now, paused: isPaused === 1, living }
}

/**
 * Takes the lease of a partition unless another owner's is valid, or has run out and `mayTakeOver` is false. Atomic; if
 * the answer is lost, the lease is this owner's and it can claim it again.
 */
export async function claimLease(
  { redis, keys, group }: GroupAddress,
  owner: string,
  { leaseMs, mayTakeOver }: { leaseMs: number; mayTakeOver: boolean }
): Promise<{ lease: Lease; inDoubt: boolean } | undefined> {
  const { lease, held, counts, live } = keys.group(group)
  const run = command<['taken', number, number] | ['kept']>(redis, 'lease-claim')
  const reply = await run([lease, held, counts, live], [owner, leaseMs, mayTakeOver ? 1 : 0])
  if (reply[0] === 'kept') return undefined
  return { lease: { owner, generation: reply[1] }, inDoubt: reply[2] === 1 }
}

/** Undefined: the lease is lost. */
export async function renewLease(
  { redis, keys, group }: GroupAddress,
  { owner, generation }: Lease,
  leaseMs: number
): Promise<Renewal | undefined> {
  const { lease, live, paused, dead, rebuild } = keys.group(group)
  const run = command<['lost'] | ['renewed', number, number, string]>(redis, 'lease-renew')
  const reply = await run([lease, live, paused, dead, rebuild], [owner, generation, leaseMs])
  if (reply[0] === 'lost') return undefined
  return { paused: reply[1] === 1, dead: reply[2], rebuild: reply[3] === '' ? undefined : reply[3] }
}

/** The entry that is about to run alone: if this owner vanishes, it is charged a crash. False: the lease is lost. */
export function markAlone(at: GroupAddress, lease: Lease, entry: string): Promise<boolean> {
  return mark(at, lease, 'alone', entry)
}

/** What was in doubt has been through. False: the lease is lost. */
export function clearDoubt(at: GroupAddress, lease: Lease): Promise<boolean> {
  return mark(at, lease, 'clear', '')
}

/** Gives the lease back: the next owner may take it at once, and charges nothing. False: it was lost before. */
export function releaseLease(at: GroupAddress, lease: Lease): Promise<boolean> {
  return mark(at, lease, 'release', '')
}

async function mark(
  { redis, keys, group }: GroupAddress,
  { owner, generation }: Lease,
  what: 'alone' | 'clear' | 'release',
  entry: string
): Promise<boolean> {
  const { lease, live } = keys.group(group)
  return (await command<number>(redis, 'lease-mark')([lease, live], [owner, generation, what, entry])) === 1
}
