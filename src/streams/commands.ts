/**
 * The Lua commands in `commands/`, one atomic step per file.
 *
 * `defineCommand` sends EVALSHA and falls back to EVAL by itself when the server does not know the script. The number
 * of keys goes with every call, because several commands take as many keys as there are events.
 */
import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'

export type Argument = string | number | Buffer

/** Runs one command; rejects as any ioredis call does (see redis-errors.ts). */
export type Command<Reply> = (keys: string[], args: Argument[]) => Promise<Reply>

type DefinedCommand = (...args: Argument[]) => Promise<unknown>

const sources = new Map<string, string>()

/**
 * The command `commands/<name>.lua` on one connection. Its header says what KEYS, ARGV and the reply are; `Reply` must
 * say the same.
 */
export function command<Reply>(redis: Redis, name: string): Command<Reply> {
  const defined = `headgate:${name}`
  const on = redis as unknown as Record<string, DefinedCommand | undefined>
  if (on[defined] === undefined) redis.defineCommand(defined, { lua: source(name) })
  return (keys, args) => (on[defined] as DefinedCommand).call(redis, keys.length, ...keys, ...args) as Promise<Reply>
}

function source(name: string): string {
  let lua = sources.get(name)
  if (lua === undefined) {
    lua = readFileSync(new URL(`./commands/${name}.lua`, import.meta.url), 'utf8')
    sources.set(name, lua)
  }
  return lua
}
