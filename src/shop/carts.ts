/**
 * Shopping carts: the events of each user, in their order, folded into the hash `cart:current:<userId>`:
 * `item:<productId>` is how many there are, `status` is `open` or `checked-out`, and `appliedId` the entry id of the last
 * event that went in. An event that is not newer than that has been applied and changes nothing. (So has, for this hash,
 * a dead letter that is replayed after newer events of its cart; a rebuild takes it in.)
 */
import type { CartItemAdded } from '../../schemas/events/carts.ts'
import type { ReceivedEvent } from '../streams/entry.ts'
import type { HandlerContext, Rebuild } from '../topology-options.ts'

// KEYS 1 the hash; ARGV 1 entry id, 2 event type, 3 product, 4 quantity, 5 milliseconds to live or '' for ever.
const APPLY = `
local ms, seq = string.match(ARGV[1], '^(%d+)-(%d+)$')
local applied = redis.call('HGET', KEYS[1], 'appliedId')
if applied then
  local ams, aseq = string.match(applied, '^(%d+)-(%d+)$')
  ams, aseq = tonumber(ams), tonumber(aseq)
  if tonumber(ms) < ams or (tonumber(ms) == ams and tonumber(seq) <= aseq) then return 0 end
end
local item = 'item:' .. ARGV[3]
local type, status = ARGV[2], 'open'
if type == 'carts.item.added' then
  redis.call('HINCRBY', KEYS[1], item, ARGV[4])
elseif type == 'carts.item.removed' or (type == 'carts.item.quantity-changed' and tonumber(ARGV[4]) == 0) then
  redis.call('HDEL', KEYS[1], item)
elseif type == 'carts.item.quantity-changed' then
  redis.call('HSET', KEYS[1], item, ARGV[4])
elseif type == 'carts.cart.checked-out' then
  status = 'checked-out'
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 5) == 'item:' then redis.call('HDEL', KEYS[1], field) end
  end
end
redis.call('HSET', KEYS[1], 'status', status, 'appliedId', ARGV[1])
if ARGV[5] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
return 1`

// KEYS 1 the fresh hash, 2 the current one; ARGV 1 its appliedId when the rebuild began, or '' when there was none.
const SWAP = `
if (redis.call('HGET', KEYS[2], 'appliedId') or '') ~= ARGV[1] then
  redis.call('UNLINK', KEYS[1])
  return 0
end
redis.call('PERSIST', KEYS[1])
redis.call('RENAME', KEYS[1], KEYS[2])
return 1`

/** What a rebuild that was cut off leaves behind goes by itself. */
const FRESH_MS = 86_400_000
/** Events on their way to Redis at once during a rebuild. */
const WINDOW = 200

/** Handles every cart event. Atomic, and skips what has been applied. */
export async function projectCart(event: ReceivedEvent, { redis, key, entryId }: HandlerContext): Promise<void> {
  await apply(redis, key(cartName(event)), entryId, event, '')
}

/**
 * Folds all events of a partition into fresh hashes beside the current ones, then puts each in the place of the current
 * one, atomically per cart. A cart that another owner of the partition has changed meanwhile is left to that one.
 */
export const rebuildCarts: Rebuild = async (events, { redis, key, fence, signal }) => {
  const appliedIds = new Map<string, string>()
  // The hash tag keeps both hashes of a cart in one slot; the fence, apart from those of an earlier owner.
  const freshOf = (name: string) => key(`{${key(name)}}:fresh:${fence}`)
  let sent: Promise<unknown>[] = []
  for await (const { entryId, event } of events) {
    const name = cartName(event)
    if (!appliedIds.has(name)) {
      appliedIds.set(name, (await redis.hget(key(name), 'appliedId')) ?? '')
      await redis.unlink(freshOf(name))
    }
    sent.push(apply(redis, freshOf(name), entryId, event, FRESH_MS))
    if (sent.length < WINDOW) continue
    await Promise.all(sent)
    sent = []
  }
  await Promise.all(sent)
  for (const [name, appliedId] of appliedIds) {
    signal.throwIfAborted()
    await redis.eval(SWAP, 2, freshOf(name), key(name), appliedId)
  }
}

/** A brace in a user's id would be read as a hash tag, and put the two hashes of a cart into different slots. */
function cartName({ subject = '' }: ReceivedEvent): string {
  return `cart:current:${subject.replace(/[{}]/g, encodeURIComponent)}`
}

function apply(
  redis: HandlerContext['redis'],
  hash: string,
  entryId: string,
  { type, data }: ReceivedEvent,
  ttlMs: number | ''
): Promise<unknown> {
  // Each type has some of the members of an added item, and the script looks only at those.
  const { productId = '', quantity = 0 } = (data ?? {}) as Partial<CartItemAdded>
  return redis.eval(APPLY, 1, hash, entryId, type, productId, quantity, ttlMs)
}
