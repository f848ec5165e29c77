-- One heartbeat of a process for an ordered group, over all partitions.
-- The ZREM in front lets the ZADD pass at maxmemory.
-- KEYS 1 live of the stream as a whole, 2 paused of it
-- ARGV 1 consumer, 2 staleAfterMs
-- Returns { now, paused 0|1, processes that live in the order of their names }. Times are Redis milliseconds.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
-- A process that vanished has no name anyone will use again.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
local living = redis.call('ZRANGE', KEYS[1], 0, -1)
table.sort(living)
return { now, redis.call('EXISTS', KEYS[2]), living }
