/**
 * An entry as the JSON text of an answer. `data` goes in as the text it was sent as: parsing it would round large
 * numbers and lose what the client wrote.
 */
import type { CloudEvent } from './streams/entry.ts'
import type { Entry, EntryInGroup } from './streams/reader.ts'

export interface EntryDetail extends Entry {
  stream: string
  groups?: Record<string, EntryInGroup>
}

export function streamEntryText({ stream, entryId, event, groups }: EntryDetail): string {
  const head = JSON.stringify({ stream, entryId }).slice(0, -1)
  const states = groups === undefined ? '' : `,"groups":${JSON.stringify(statesShown(groups))}`
  return `${head},"event":${eventText(event)}${states}}`
}

export function streamEntriesText(entries: readonly EntryDetail[], next?: string): string {
  const items = `{"items":[${entries.map(streamEntryText).join(',')}]`
  return next === undefined ? `${items}}` : `${items},"next":${JSON.stringify(next)}}`
}

function statesShown(groups: Record<string, EntryInGroup>): object {
  const shown = Object.entries(groups).map(([name, { dueAtMs, ...rest }]) => [
    name,
    dueAtMs === undefined ? rest : { ...rest, dueAt: new Date(dueAtMs).toISOString() }
  ])
  return Object.fromEntries(shown)
}

/** The event in the CloudEvents JSON format. Data that is not JSON, which another writer left, is shown as a string. */
export function eventText({ data, extensions, ...attributes }: CloudEvent): string {
  const head = JSON.stringify({ specversion: '1.0', ...attributes, ...extensions })
  if (data === undefined) return head
  return `${head.slice(0, -1)},"data":${isJson(data) ? data : JSON.stringify(data)}}`
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
