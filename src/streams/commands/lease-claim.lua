-- Takes the lease of one partition of an ordered group, unless somebody else holds it.
--
-- A lease that was not given back is free once it has run out; its owner may have died of an entry. If the owner had
-- said that it runs one alone, that one is charged a crash.
-- The HDEL in front lets the HSET pass at maxmemory.
-- KEYS 1 lease, 2 held, 3 counts, 4 live
-- ARGV 1 owner, 2 leaseMs, 3 may take a lease of somebody else that has run out 0|1
-- Returns { 'taken', generation, doubt 0|1 } or { 'kept' }; doubt: an owner vanished, and what it may have run was not
-- tried alone yet
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local owner, expires, alone = unpack(redis.call('HMGET', KEYS[1], 'owner', 'until', 'alone'))
if owner and owner ~= ARGV[1] and (tonumber(expires) > now or ARGV[3] ~= '1') then return { 'kept' } end
redis.call('HDEL', KEYS[1], 'alone')
local generation = redis.call('HINCRBY', KEYS[1], 'generation', 1)
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', string.format('%.0f', now + tonumber(ARGV[2])))
redis.call('DEL', KEYS[4])
redis.call('ZADD', KEYS[4], now, ARGV[1])
if owner and owner ~= ARGV[1] then
  redis.call('HSET', KEYS[1], 'doubt', 1)
  redis.call('HINCRBY', KEYS[3], 'takeovers', 1)
  if alone then
    redis.call('HINCRBY', KEYS[2], 'crashes:' .. alone, 1)
    redis.call('HINCRBY', KEYS[3], 'crashes', 1)
  end
end
return { 'taken', generation, redis.call('HEXISTS', KEYS[1], 'doubt') }
