/** Events that handlers publish: derived from the event they handle, so that a redelivery publishes nothing new. */
import type { Catalog } from '../ingest/catalog.ts'
import { seenDigest } from '../ingest/dedupe.ts'
import type { CloudEvent, ReceivedEvent } from '../streams/entry.ts'
import type { RefusalCode } from '../streams/outcomes.ts'
import type { Publish } from '../streams/publisher.ts'
import type { PublishedEvent } from '../topology-options.ts'

export interface FollowUp {
  /** The event that is being handled, by whom, and the how-manieth publish of this call it is. */
  event: ReceivedEvent
  stream: string
  group: string
  index: number
  published: PublishedEvent
}

export type FollowUpOutcome =
  | { stored: true; entryId: string; duplicate: boolean }
  | { stored: false; code: RefusalCode }

/**
 * Appends a handler's event. Its id is made from the stream, the group, the handled event, the target stream and `key`
 * (or the index of the call), and is remembered for the target's `publishWindowMs`: a second publish under the same id
 * stores nothing, whatever its data. May go 10 % above the target's hard limit.
 * Rejects when the topology does not carry the type or the data does not fit its schema: a mistake in the handler.
 */
export function createFollowUps({ catalog, publish }: { catalog: Catalog; publish: Publish }) {
  return async ({ event, stream, group, index, published }: FollowUp): Promise<FollowUpOutcome> => {
    const data = JSON.stringify(published.data)
    const checked = catalog.check({ type: published.type, data, value: published.data, pointer: '', index: 0 })
    if (!checked.ok) {
      const faults = checked.faults.map(({ pointer, detail }) => `${pointer} ${detail}`).join('; ')
      throw new Error(`The handler of ${group} published an event that does not fit '${published.type}': ${faults}`)
    }
    const target = checked.stream
    const id = seenDigest('publish', stream, group, event.source, event.id, target.name, published.key ?? index)
    const followUp: CloudEvent = {
      id,
      source: `/groups/${group}`,
      type: published.type,
      time: new Date().toISOString(),
      subject: published.subject,
      data
    }
    const [result] = await publish([
      { event: followUp, stream: target, digest: id, windowMs: target.publishWindowMs, fromHandler: true }
    ])
    if (result === undefined) throw new Error('nothing was published')
    if (!result.stored && result.refusal.code === 'missing-partition-key')
      throw new Error(
        `The handler of ${group} published '${published.type}' without what '${target.name}' is partitioned by`
      )
    if (!result.stored) return { stored: false, code: result.refusal.code }
    return { stored: true, entryId: result.entryId, duplicate: result.duplicate }
  }
}
