-- Says which entry the owner of a partition is about to run alone, so that it is charged if the owner vanishes; that no
-- doubt is left about any; or that the owner gives the lease back.
-- KEYS 1 lease, 2 live
-- ARGV 1 owner, 2 generation, 3 'alone' | 'clear' | 'release', 4 the entry (<side>:<id>) for 'alone'
-- Returns 1, or 0 when the lease is not (or no longer) the owner's; nothing was done then.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('HMGET', KEYS[1], 'owner', 'generation', 'until')
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] or tonumber(lease[3]) <= now then return 0 end
redis.call('HDEL', KEYS[1], 'alone')
if ARGV[3] == 'release' then
  redis.call('HDEL', KEYS[1], 'owner', 'until')
  redis.call('DEL', KEYS[2])
elseif ARGV[3] == 'clear' then
  redis.call('HDEL', KEYS[1], 'doubt')
else
  redis.call('HSET', KEYS[1], 'alone', ARGV[4])
end
return 1
