import type { GroupTally } from '../consume/consumers.ts'
import type { Families } from './families.ts'

/** What the handlers did in this process; nothing where it runs none. */
export function addHandlerFamilies({ gauge, histogram }: Families, tallies: readonly GroupTally[]): void {
  histogram('headgate_handler_duration_seconds', 'How long handlers took, by how they ended.', () =>
    tallies.flatMap(({ stream, group, tally }) =>
      Array.from(tally.seconds, ([outcome, histogram]) => ({ labels: { stream, group, outcome }, histogram }))
    )
  )
  gauge('headgate_handlers_running', 'Handlers that run now in this process.', () =>
    tallies.map(({ stream, group, tally }) => ({ labels: { stream, group }, value: tally.running }))
  )
  gauge('headgate_handler_slots', 'Handlers that may run at once in this process.', () =>
    tallies.map(({ stream, group, tally }) => ({ labels: { stream, group }, value: tally.slots }))
  )
}
