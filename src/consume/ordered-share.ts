/**
 * How many partitions one process is due: all processes compute it from the same list of who lives, so that the shares
 * add up to all partitions and differ by at most one. 0 for a process that is not in the list.
 */
export function fairShare(partitions: number, living: readonly string[], me: string): number {
  const position = living.indexOf(me)
  if (position < 0) return 0
  return Math.floor(partitions / living.length) + (position < partitions % living.length ? 1 : 0)
}
