/** Streams as the answers show them. */
import type { StreamOverview } from '../schemas/stream.ts'
import type { Overview } from './streams/overview.ts'

export function streamView({ target, parts }: Overview): StreamOverview {
  const { name, definition } = target
  const total = (of: 'length' | 'memoryBytes') => parts.reduce((sum, part) => sum + part[of], 0)
  return {
    stream: name,
    observed: definition.observed,
    partitions: name === definition.name ? definition.partitions : undefined,
    length: total('length'),
    memoryBytes: total('memoryBytes'),
    maxLength: Number.isFinite(definition.maxLength) ? definition.maxLength : undefined,
    unread: definition.unread,
    types: [...definition.types.keys()],
    parts
  }
}
