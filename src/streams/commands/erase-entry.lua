-- Deletes an entry from its stream and from what each group has pending or delayed of it. Safe to repeat.
-- KEYS 1 stream, then per group: delayed, delayed:entries, held
-- ARGV 1 entry id, then the groups, in the order of the keys
-- Returns how many places it was in.
local id = ARGV[1]
local places = redis.call('XDEL', KEYS[1], id)
for i = 2, #ARGV do
  local k = 2 + (i - 2) * 3
  -- NOGROUP: the group is gone, and holds nothing.
  local acked = redis.pcall('XACK', KEYS[1], ARGV[i], id)
  if type(acked) == 'number' then places = places + acked end
  places = places + redis.call('ZREM', KEYS[k], id)
  redis.call('HDEL', KEYS[k + 1], id)
  redis.call('HDEL', KEYS[k + 2], 'stream:' .. id, 'crashes:stream:' .. id)
end
return places
