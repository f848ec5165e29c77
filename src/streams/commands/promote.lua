-- Moves delayed entries that are due to the requeue stream, oldest due first. Any process may run it.
-- KEYS 1 delayed, 2 delayed:entries, 3 requeue, 4 counts
-- ARGV 1 how many at most, 2 how long to put off what only a newer Headgate can read, in ms
-- Returns { how many were due, how many of them were put off }. At maxmemory the first XADD fails and everything stays
-- delayed. An item of another `v` than 1 (items without one are of 1) is left as it is, for a process that knows it.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
local newer = 0
for _, entryId in ipairs(due) do
  local packed = redis.call('HGET', KEYS[2], entryId)
  local isJson, waiting = pcall(cjson.decode, packed or '')
  if packed and not (isJson and type(waiting) == 'table' and (waiting.v or 1) == 1) then
    newer = newer + 1
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), entryId)
  elseif packed then
    local fields = waiting.fields
    for _, name in ipairs({ 'attempts', 'crashes', 'errors', 'firstFailedAt' }) do
      fields[#fields + 1] = 'retry.' .. name
      fields[#fields + 1] = waiting[name]
    end
    redis.call('XADD', KEYS[3], '*', 'retry.entryId', entryId, unpack(fields))
    redis.call('ZREM', KEYS[1], entryId)
    redis.call('HDEL', KEYS[2], entryId)
  else
    redis.call('HINCRBY', KEYS[4], 'lost', 1)
    redis.call('ZREM', KEYS[1], entryId)
  end
end
return { #due, newer }
