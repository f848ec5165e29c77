-- Acknowledges handled entries of one partition, if the lease is still the owner's: after that their keys go on.
-- KEYS 1 lease, 2 stream, 3 requeue, 4 held, 5 counts
-- ARGV 1 owner, 2 generation, 3 group, then side and id of each entry
-- Returns how many were pending, or -1 when the lease is not the owner's; nothing was done then.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('HMGET', KEYS[1], 'owner', 'generation', 'until')
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] or tonumber(lease[3]) <= now then return -1 end
local alone = redis.call('HGET', KEYS[1], 'alone')
local acked = 0
for i = 4, #ARGV, 2 do
  local side, id = ARGV[i], ARGV[i + 1]
  local source = side == 'stream' and KEYS[2] or KEYS[3]
  local field = side .. ':' .. id
  acked = acked + redis.call('XACK', source, ARGV[3], id)
  if side == 'requeue' then redis.call('XDEL', source, id) end
  redis.call('HDEL', KEYS[4], field, 'crashes:' .. field)
  if field == alone then redis.call('HDEL', KEYS[1], 'alone') end
end
if acked > 0 then redis.call('HINCRBY', KEYS[5], 'acked', acked) end
return acked
