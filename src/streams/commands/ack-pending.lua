-- Acknowledges pending entries by an operator's word, one answer per id; those of the requeue stream are removed with it.
-- KEYS 1 the stream they are pending in, 2 requeue, 3 counts, 4 held
-- ARGV 1 group, then ids (at most 100)
-- Returns 'acked' | 'not-pending' for each id. Safe to repeat.
local results, acked = {}, 0
local side = KEYS[1] == KEYS[2] and 'requeue' or 'stream'
for i = 2, #ARGV do
  local was = redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
  if was == 1 then
    if side == 'requeue' then redis.call('XDEL', KEYS[2], ARGV[i]) end
    local field = side .. ':' .. ARGV[i]
    redis.call('HDEL', KEYS[4], field, 'crashes:' .. field)
  end
  acked = acked + was
  results[#results + 1] = was == 1 and 'acked' or 'not-pending'
end
if acked > 0 then redis.call('HINCRBY', KEYS[3], 'acked', acked) end
return results
