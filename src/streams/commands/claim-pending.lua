-- Gives pending entries to another consumer, one answer per id. Delivery counts stay: nobody is charged for it.
-- An entry that is gone from the stream becomes a `lost` dead letter: XCLAIM would drop it without a word.
-- KEYS 1 the stream they are pending in (stream or requeue), 2 dead, 3 counts
-- ARGV 1 group, 2 to, 3 minIdleMs, then ids (at most 100)
-- Returns 'claimed' | 'not-pending' | 'not-idle' | 'payload-gone' for each id. Safe to repeat.
local group, to, minIdle = ARGV[1], ARGV[2], tonumber(ARGV[3])
local results = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local row = redis.call('XPENDING', KEYS[1], group, id, id, 1)[1]
  if not row then
    results[#results + 1] = 'not-pending'
  elseif row[3] < minIdle then
    results[#results + 1] = 'not-idle'
  elseif #redis.call('XRANGE', KEYS[1], id, id) > 0 then
    redis.call('XCLAIM', KEYS[1], group, to, 0, id, 'RETRYCOUNT', row[4], 'JUSTID')
    results[#results + 1] = 'claimed'
  else
    local time = redis.call('TIME')
    local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
    redis.call('XADD', KEYS[2], '*', 'dead.entryId', id, 'dead.reason', 'lost', 'dead.attempts', '0',
      'dead.crashes', row[4] - 1, 'dead.firstFailedAt', now, 'dead.lastFailedAt', now, 'dead.consumer', row[2],
      'dead.errors', '', 'dead.fingerprint', 'lost')
    redis.call('XACK', KEYS[1], group, id)
    redis.call('HINCRBY', KEYS[3], 'deadTotal', 1)
    redis.call('HINCRBY', KEYS[3], 'lost', 1)
    results[#results + 1] = 'payload-gone'
  end
end
return results
