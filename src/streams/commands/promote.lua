-- Moves delayed entries that are due to the requeue stream, oldest due first. Any process may run it.
-- KEYS 1 delayed, 2 delayed:entries, 3 requeue, 4 counts
-- ARGV 1 how many at most
-- Returns how many were due. At maxmemory the first XADD fails and everything stays delayed.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, entryId in ipairs(due) do
  local packed = redis.call('HGET', KEYS[2], entryId)
  if packed then
    local waiting = cjson.decode(packed)
    local fields = waiting.fields
    for _, name in ipairs({ 'attempts', 'crashes', 'errors', 'firstFailedAt' }) do
      fields[#fields + 1] = 'retry.' .. name
      fields[#fields + 1] = waiting[name]
    end
    redis.call('XADD', KEYS[3], '*', 'retry.entryId', entryId, unpack(fields))
  else
    redis.call('HINCRBY', KEYS[4], 'lost', 1)
  end
  redis.call('ZREM', KEYS[1], entryId)
  redis.call('HDEL', KEYS[2], entryId)
end
return #due
