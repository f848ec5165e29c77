/**
 * Inventory: how many there are of each product, and what is set aside for which order.
 *
 * A product whose stock was never told is not kept: there is always enough of it. The keys share a hash tag, because one
 * script touches both.
 */
import { type StockReserved, StockUpdated } from '../../schemas/events/inventory.ts'
import type { OrderItem } from '../../schemas/events/orders.ts'
import type { ReceivedEvent } from '../streams/entry.ts'
import { dataOf } from '../topology.ts'
import type { HandlerContext } from '../topology-options.ts'

/** Hash: product id to how many are available; `<product id>\n` to when they were counted, in milliseconds. */
const STOCK = '{inventory}:stock'
/** Hash: order id to `reserved`, or `!` and the product that was missing. */
const RESERVATIONS = '{inventory}:reservations'

const COUNT = `
local counted = redis.call('HGET', KEYS[1], ARGV[1] .. '\\n')
if counted and tonumber(counted) > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], ARGV[1] .. '\\n', ARGV[3])
return 1`

/** Handles `inventory.stock.updated`. An older count than the one that is known changes nothing. */
export async function keepStock(event: ReceivedEvent, { redis, key }: HandlerContext): Promise<void> {
  const { productId, available, countedAt } = dataOf(StockUpdated, event)
  await redis.eval(COUNT, 1, key(STOCK), productId, available, Date.parse(countedAt))
}

const RESERVE = `
local known = redis.call('HGET', KEYS[2], ARGV[1])
if known then return known end
local kept, outcome = {}, 'reserved'
for i = 2, #ARGV, 2 do
  local available = redis.call('HGET', KEYS[1], ARGV[i])
  if available then kept[ARGV[i]] = ARGV[i + 1] end
  if available and tonumber(available) < tonumber(ARGV[i + 1]) then outcome = '!' .. ARGV[i] end
end
if not next(kept) then return outcome end
if outcome == 'reserved' then
  for product, quantity in pairs(kept) do redis.call('HINCRBYFLOAT', KEYS[1], product, '-' .. quantity) end
end
redis.call('HSET', KEYS[2], ARGV[1], outcome)
return outcome`

export type Reservation = { items: StockReserved['items'] } | { missing: string }

/** Sets aside everything an order wants, or nothing. Atomic; the second call for an order answers as the first did. */
export async function reserve(
  { redis, key }: Pick<HandlerContext, 'redis' | 'key'>,
  orderId: string,
  ordered: readonly OrderItem[]
): Promise<Reservation> {
  const quantities = new Map<string, number>()
  for (const { productId, quantity } of ordered) quantities.set(productId, (quantities.get(productId) ?? 0) + quantity)
  const wanted = [...quantities].flat()
  const outcome = String(await redis.eval(RESERVE, 2, key(STOCK), key(RESERVATIONS), orderId, ...wanted))
  if (outcome.startsWith('!')) return { missing: outcome.slice(1) }
  return { items: Array.from(quantities, ([productId, quantity]) => ({ productId, quantity })) }
}
