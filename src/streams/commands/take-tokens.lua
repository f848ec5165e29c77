-- Takes up to `wanted` tokens of a group's rate limit, shared by all its processes, by the clock of Redis.
-- The bucket holds what a tenth of a second yields, and at least one token: an idle group starts with no burst that its
-- limit would not allow a moment later. An expired or deleted bucket is a full one.
-- The DEL in front lets the HSET pass at maxmemory: handlers go on, and their limit with them.
-- KEYS 1 rate
-- ARGV 1 tokens per second, 2 wanted; negative: gives as many back
-- Returns { tokens taken, milliseconds until there is one more }
local rate, wanted = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local capacity = math.max(1, rate / 10)
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = capacity
if bucket[1] then
  -- A clock that was set back yields nothing until it has caught up; one far back is a new beginning.
  local elapsed = now - tonumber(bucket[2])
  if elapsed > -1000 then tokens = math.min(capacity, tonumber(bucket[1]) + math.max(0, elapsed) * rate / 1000) end
end
local taken = math.min(wanted, math.floor(tokens))
tokens = math.min(capacity, tokens - taken)
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.3f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - tokens) * 1000 / rate) + 1000)
return { taken, tokens >= 1 and 0 or math.ceil((1 - tokens) * 1000 / rate) }
