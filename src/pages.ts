/** Lists over the parts of a stream: one part after the other, each in its own order. */
import { cursorFrom, isPagePosition, type PagePosition, positionFrom } from './cursors.ts'

export interface PageQuery {
  /** DEFAULT_LIMIT unless given. */
  limit?: number
  cursor?: string
}

export const DEFAULT_LIMIT = 50

/** `lastId`: the list goes on after it; undefined: this part has no more. */
export interface PartPage<Item> {
  items: Item[]
  lastId?: string
}

/** Reads pages of parts until there are `limit` items. A part may answer fewer than asked and still have more. */
export async function pageOver<Part, Item>(
  parts: readonly Part[],
  { limit = DEFAULT_LIMIT, cursor }: PageQuery,
  read: (part: Part, limit: number, after: string | undefined) => Promise<PartPage<Item>>,
  isPosition: (value: unknown) => value is PagePosition = isPagePosition
): Promise<{ items: Item[]; next?: string }> {
  const position = positionFrom(cursor, isPosition) ?? { part: 0 }
  const items: Item[] = []
  let after: string | undefined = position.id
  for (let part = position.part; part < parts.length; part += 1) {
    const page = await read(parts[part] as Part, limit - items.length, after)
    items.push(...page.items)
    if (page.lastId !== undefined) return { items, next: cursorFrom({ part, id: page.lastId }) }
    after = undefined
    if (items.length >= limit && part + 1 < parts.length) return { items, next: cursorFrom({ part: part + 1 }) }
  }
  return { items }
}
