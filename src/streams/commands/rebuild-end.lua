-- Records how the rebuild of one partition ended, if the lease is still the owner's and it is still the one asked for.
-- KEYS 1 lease, 2 rebuild
-- ARGV 1 owner, 2 generation, 3 id of the rebuild, then field and value in pairs
-- Returns 1, or 0 and nothing was done.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('HMGET', KEYS[1], 'owner', 'generation', 'until')
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] or tonumber(lease[3]) <= now then return 0 end
if redis.call('HGET', KEYS[2], 'id') ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[2], 'finishedAt', string.format('%.0f', now), unpack(ARGV, 4))
return 1
