-- One heartbeat of a consumer, and in the same step everything it must know about its group.
-- The ZREM in front lets the ZADD pass at maxmemory (a script that has written is not refused any more): a full server
-- must not make every consumer look dead.
-- KEYS 1 live, 2 stream, 3 requeue, 4 delayed, 5 dead, 6 paused
-- ARGV 1 group, 2 consumer, 3 staleAfterMs
-- Returns { now, previous heartbeat or -1, parked, paused 0|1, entries handed over 0|1, suspects to run 0|1,
--   due of the next delayed entry or -1, when the next other consumer turns stale or -1, stale consumers (at most 20) }
-- All times are Redis milliseconds. NOGROUP when the group is gone; the heartbeat has arrived then all the same.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local group, me, staleAfter = ARGV[1], ARGV[2], tonumber(ARGV[3])

local previous = redis.call('ZSCORE', KEYS[1], me)
redis.call('ZREM', KEYS[1], me)
redis.call('ZADD', KEYS[1], now, me)

local function holds(consumer)
  return #redis.call('XPENDING', KEYS[2], group, '-', '+', 1, consumer) > 0
    or #redis.call('XPENDING', KEYS[3], group, '-', '+', 1, consumer) > 0
end
local handedOver = holds('~handed-over')
local suspects = false
for _, holder in ipairs({
  '~suspects', '~suspects-16', '~suspects-4', '~alone',
  me .. ':together', me .. ':together-16', me .. ':together-4', me .. ':alone'
}) do
  suspects = suspects or holds(holder)
end

local parked = redis.call('ZCARD', KEYS[4]) + redis.call('XLEN', KEYS[3]) + redis.call('XLEN', KEYS[5])
local due = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
local stale = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - staleAfter, 'LIMIT', 0, 20)
local oldest = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. (now - staleAfter), '+inf', 'WITHSCORES', 'LIMIT', 0, 2)
local nextStale = -1
for i = 1, #oldest, 2 do
  if nextStale < 0 and oldest[i] ~= me then nextStale = tonumber(oldest[i + 1]) + staleAfter end
end
return {
  now,
  previous and tonumber(previous) or -1,
  parked,
  redis.call('EXISTS', KEYS[6]),
  handedOver and 1 or 0,
  suspects and 1 or 0,
  due[2] and tonumber(due[2]) or -1,
  nextStale,
  stale
}
