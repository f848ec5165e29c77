/** From the names in a path to what they name. Throws the 404 or 409 a request is answered with. */
import { ProblemError } from './errors.ts'
import type { Operations } from './streams/operations.ts'
import type { GroupPart, GroupTarget, StreamTarget } from './streams/targets.ts'

export function streamNamed({ targets }: Operations, { stream }: { stream: string }): StreamTarget {
  const target = targets.stream(stream)
  if (target === undefined) throw new ProblemError('stream-not-found')
  return target
}

/** A stream that this gateway may change. */
export function ownStreamNamed(operations: Operations, params: { stream: string }): StreamTarget {
  const target = streamNamed(operations, params)
  if (target.definition.observed) throw new ProblemError('stream-observed')
  return target
}

export async function groupNamed(
  operations: Operations,
  params: { stream: string; group: string }
): Promise<GroupTarget & { at: GroupPart[] }> {
  const target = await operations.targets.group(streamNamed(operations, params), params.group)
  if (target === undefined) throw new ProblemError('group-not-found')
  return { ...target, at: operations.targets.parts(target) }
}

/** The one physical stream that an id is an id of. */
export async function partNamed(operations: Operations, params: { stream: string; group: string }): Promise<GroupPart> {
  return onlyPart((await groupNamed(operations, params)).at)
}

export function onlyPart<Part>(parts: readonly Part[]): Part {
  const [part, ...others] = parts
  if (part === undefined || others.length > 0) throw new ProblemError('partition-needed')
  return part
}
