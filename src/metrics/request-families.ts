import type { Families } from './families.ts'
import type { RequestTally } from './request-tally.ts'

/** What came in over HTTP to this process. */
export function addRequestFamilies({ counter }: Families, tally: RequestTally): void {
  counter('headgate_events_received_total', 'Events in requests that could be read, whatever became of them.', () =>
    tally.counts().received.map(([endpoint, mode, value]) => ({ labels: { endpoint, mode }, value }))
  )
  counter('headgate_requests_accepted_total', 'Requests answered 2xx: their events are stored.', () =>
    tally.counts().accepted.map(([endpoint, value]) => ({ labels: { endpoint }, value }))
  )
  counter('headgate_requests_refused_total', 'Requests answered with a problem, by its code.', () =>
    tally.counts().refused.map(([endpoint, code, value]) => ({ labels: { endpoint, code }, value }))
  )
  counter('headgate_webhook_verifications_total', 'Requests to webhook sources, by what came of verifying them.', () =>
    tally.counts().webhooks.map(([source, result, value]) => ({ labels: { source, result }, value }))
  )
}
