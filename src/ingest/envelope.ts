/**
 * The members of an event in JSON that are not extensions.
 */
import { type CoreAttribute, coreAttributes } from './attributes.ts'
import { stringAt } from './json-members.ts'

export interface Member {
  name: CoreAttribute | 'data' | 'data_base64'
  /** A bit of its own, for sets of members. */
  bit: number
}

const names = [...coreAttributes, 'data', 'data_base64'] as const
const members: readonly Member[] = names.map((name, i) => ({ name, bit: 1 << i }))
const memberOfName = new Map<string, Member>(members.map((member) => [member.name, member]))
// Few names share a length, so that the text is hardly ever compared in vain.
const membersOfLength = Array.from({ length: 16 }, (_, n) => members.filter(({ name }) => name.length === n))

/** The CloudEvents formats require four attributes; our own form fills in three of them. */
export const requiredByFormat = membersNamed('specversion', 'id', 'source', 'type')
export const requiredByUs = membersNamed('type')

function membersNamed(...wanted: string[]): readonly Member[] {
  return members.filter(({ name }) => wanted.includes(name))
}

/** The member whose name is the string at `at`, `end` as endOfString returned it; undefined for an extension's. */
export function memberAt(text: string, at: number, end: number): Member | undefined {
  if (end < 0) return memberOfName.get(stringAt(text, at, end))
  const candidates = membersOfLength[end - at - 2]
  if (candidates === undefined) return undefined
  for (const member of candidates) if (text.startsWith(member.name, at + 1)) return member
  return undefined
}
