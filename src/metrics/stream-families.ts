import type { StreamLevel } from '../streams/levels.ts'
import type { Families, Sample } from './families.ts'
import type { Figures } from './figures.ts'

/** How full each stream is, over its partitions. Every gateway on the same Redis says the same. */
export function addStreamFamilies({ gauge }: Families, figures: () => Figures): void {
  const sum = (of: (level: StreamLevel) => number) => (): Sample[] =>
    figures()
      .streams.map(({ labels, parts }) => ({ labels, value: parts.reduce((total, level) => total + of(level), 0) }))
      .filter(({ value }) => Number.isFinite(value))

  gauge(
    'headgate_stream_length',
    'Entries in the stream.',
    sum(({ length }) => length)
  )
  gauge(
    'headgate_stream_max_length',
    'Entries to which the stream is trimmed; absent where everything is kept.',
    sum(({ maxLength }) => maxLength)
  )
  gauge(
    'headgate_stream_hard_limit',
    'Entries beyond which appends are refused as stream-full; absent where there is no limit.',
    sum(({ hardLimit }) => hardLimit)
  )
  gauge('headgate_stream_fill_ratio', 'Length of the fullest partition against its hard limit.', () =>
    figures()
      .streams.filter(({ parts }) => parts.some(({ hardLimit }) => Number.isFinite(hardLimit)))
      .map(({ labels, parts }) => ({
        labels,
        value: Math.max(...parts.map(({ length, hardLimit }) => length / hardLimit))
      }))
  )
  gauge(
    'headgate_stream_pinned_seconds',
    'How long the group that is furthest behind has held the oldest entry it needs; absent when nothing is held.',
    () => figures().streams.flatMap(({ labels, parts }) => pins(labels.stream ?? '', parts))
  )
  gauge(
    'headgate_stream_remembered_keys',
    'Keys under which events are remembered, so that they are known when they come again.',
    sum(({ rememberedKeys }) => rememberedKeys)
  )
  gauge(
    'headgate_stream_remembered_bytes',
    'Memory of Redis that the remembered keys take, estimated.',
    sum(({ rememberedBytes }) => rememberedBytes)
  )
}

/** Per group that holds a partition back: the longest. Only groups of the topology hold anything back. */
function pins(stream: string, levels: readonly StreamLevel[]): Sample[] {
  const longest = new Map<string, number>()
  for (const { pinnedBy } of levels) {
    if (pinnedBy === undefined) continue
    longest.set(pinnedBy.group, Math.max(longest.get(pinnedBy.group) ?? 0, pinnedBy.sinceMs / 1_000))
  }
  return Array.from(longest, ([group, value]) => ({ labels: { stream, group }, value }))
}
