-- Acknowledges handled entries; those of the requeue stream are removed with it, nobody else reads them.
-- Not fenced: the late ack of a former owner counts, because the event has been handled.
-- KEYS 1 stream, 2 requeue, 3 counts
-- ARGV 1 group, 2 number n of ids in the stream, then those n ids, then ids in the requeue stream (1,000 in all)
-- Returns how many were pending; the others were acknowledged before, or the group is gone.
local n = tonumber(ARGV[2])
local acked = 0
if n > 0 then acked = redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 3, n + 2)) end
if #ARGV > n + 2 then
  acked = acked + redis.call('XACK', KEYS[2], ARGV[1], unpack(ARGV, n + 3))
  redis.call('XDEL', KEYS[2], unpack(ARGV, n + 3))
end
if acked > 0 then redis.call('HINCRBY', KEYS[3], 'acked', acked) end
return acked
