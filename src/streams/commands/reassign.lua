-- Gives pending entries of one consumer to another, delivery counts unchanged, and returns them with their fields.
-- An entry that is not in the stream any more becomes a `lost` dead letter: XCLAIM would drop it without a word.
-- KEYS 1 the stream they are pending in (stream or requeue), 2 dead, 3 counts
-- ARGV 1 group, 2 from, 3 to (may be the same: then this is a read), 4 how many at most, then ids; none = the oldest
-- Returns { { id, delivery count, fields }, ... }; ids that `from` does not own are left out.
local group, from, to = ARGV[1], ARGV[2], ARGV[3]
local rows = {}
if #ARGV == 4 then
  rows = redis.call('XPENDING', KEYS[1], group, '-', '+', ARGV[4], from)
else
  for i = 5, #ARGV do rows[#rows + 1] = redis.call('XPENDING', KEYS[1], group, ARGV[i], ARGV[i], 1, from)[1] end
end

local moved = {}
for _, row in ipairs(rows) do
  local id, count = row[1], row[4]
  local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
  if entry then
    if from ~= to then redis.call('XCLAIM', KEYS[1], group, to, 0, id, 'RETRYCOUNT', count, 'JUSTID') end
    moved[#moved + 1] = { id, count, entry[2] }
  else
    local time = redis.call('TIME')
    local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
    redis.call('XADD', KEYS[2], '*', 'dead.entryId', id, 'dead.reason', 'lost', 'dead.attempts', '0',
      'dead.crashes', count - 1, 'dead.firstFailedAt', now, 'dead.lastFailedAt', now, 'dead.consumer', from,
      'dead.errors', '', 'dead.fingerprint', 'lost')
    redis.call('XACK', KEYS[1], group, id)
    redis.call('HINCRBY', KEYS[3], 'deadTotal', 1)
    redis.call('HINCRBY', KEYS[3], 'lost', 1)
  end
end
return moved
