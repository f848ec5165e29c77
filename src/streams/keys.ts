/**
 * The whole keyspace of Headgate. No key is spelled anywhere else.
 *
 * A stream's key is its plain name behind the configured prefix, so that any Redis client can read it. Every companion
 * of a stream carries the whole stream key as its hash tag: on Redis Cluster they share the stream's slot, so one
 * script may touch them together, and an ACL rule `~<prefix>*` covers them all.
 */

/** The companion keys of one physical stream. */
export interface StreamKeys {
  /** The stream itself. */
  stream: string
  /** String: `entryId` or `entryId|fingerprint` of the first event stored under this digest; expires with the window. */
  seen: (digest: string) => string
  /** String: `sequence|results` of the last flush of one flusher that wrote. */
  flush: (flusher: string) => string
  /** Hash: events stored with a remembered key, by hour since the epoch; sizes the dedupe memory. */
  remembered: string
  /** String: how many partitions the stream has; only of a partitioned stream's own name. */
  partitions: string
  /** Set: `<group> <job>` of every replay that is not through. */
  replays: string
  /** Hash: what an operator changed at run time, such as `hardLimit`. */
  settings: string
  group: (group: string) => GroupKeys
}

/** The companion keys of one consumer group on one physical stream. */
export interface GroupKeys {
  /** Sorted set: original entry id by due time (Redis milliseconds). */
  delayed: string
  /** Hash: original entry id to the packed entry that waits. */
  delayedEntries: string
  /** Stream read by this group only: due retries and replays. Its consumer group has the same name. */
  requeue: string
  /** Stream of dead letters. */
  dead: string
  /** Sorted set: consumer name by its last heartbeat (Redis milliseconds). */
  live: string
  /** Hash: `created` and every counter of loss, skip and repair; survives restarts. */
  counts: string
  /** String, present while the group is paused: since when, in Redis milliseconds. */
  paused: string
  /** Hash: who owns the partition for an ordered group (see leases.ts). */
  lease: string
  /** Hash: `<side>:<id>` to the state of a pending entry of an ordered group that failed. */
  held: string
  /** Hash: the rebuild of a partition that is asked for, or the last one (see rebuilds.ts). */
  rebuild: string
  /** Hash: the token bucket of a group with a rate limit. Gone when the bucket is full. */
  rate: string
  /** Hash: one replay of dead letters; expires a while after its end. */
  replay: (job: string) => string
}

export interface Keys {
  prefix: string
  /** Stream: what operators did; capped. */
  audit: string
  of: (physicalStream: string) => StreamKeys
  /** A key of a handler's own, e.g. `order:<orderId>`: the prefix in front of what the handler names. */
  own: (name: string) => string
}

/**
 * Spells the keys behind one prefix.
 * Throws when the prefix holds a brace: it would move the hash tag and split a stream from its companions.
 */
export function createKeys(prefix: string): Keys {
  if (/[{}]/.test(prefix)) throw new Error('KEY_PREFIX must not contain { or }')
  const known = new Map<string, StreamKeys>()
  const of = (name: string): StreamKeys => {
    let keys = known.get(name)
    if (keys === undefined) {
      keys = streamKeys(prefix, name)
      known.set(name, keys)
    }
    return keys
  }
  return { prefix, audit: `${prefix}{headgate}:audit`, of, own: (name) => prefix + name }
}

function streamKeys(prefix: string, name: string): StreamKeys {
  const stream = prefix + name
  const companion = `${prefix}{${stream}}`
  const groups = new Map<string, GroupKeys>()
  return {
    stream,
    seen: (digest) => `${companion}:seen:${digest}`,
    flush: (flusher) => `${companion}:flush:${flusher}`,
    remembered: `${companion}:remembered`,
    partitions: `${companion}:partitions`,
    replays: `${companion}:replays`,
    settings: `${companion}:settings`,
    group(group) {
      let keys = groups.get(group)
      if (keys === undefined) {
        keys = {
          delayed: `${companion}:delayed:${group}`,
          delayedEntries: `${companion}:delayed:${group}:entries`,
          requeue: `${companion}:requeue:${group}`,
          dead: `${companion}:dead:${group}`,
          live: `${companion}:live:${group}`,
          counts: `${companion}:counts:${group}`,
          paused: `${companion}:paused:${group}`,
          lease: `${companion}:lease:${group}`,
          held: `${companion}:held:${group}`,
          rebuild: `${companion}:rebuild:${group}`,
          rate: `${companion}:rate:${group}`,
          replay: (job) => `${companion}:replay:${group}:${job}`
        }
        groups.set(group, keys)
      }
      return keys
    }
  }
}
