-- Moves a failed entry out of the pending list: into delayed, or to the group's dead letters. All or nothing, and safe to
-- repeat: a second call finds that the entry is not pending any more.
-- The first write is one that maxmemory refuses, so a full server leaves the entry pending.
-- KEYS 1 the stream the entry is pending in (stream or requeue), 2 delayed, 3 delayed:entries, 4 dead, 5 counts, 6 requeue
-- ARGV 1 group, 2 owner, 3 id, 4 delay in ms, or -1 for a dead letter, 5 dead.reason, 6 attempts so far,
--   7 errors (JSON text), 8 fingerprint
-- Returns { 'not-owner' | 'delayed' | 'dead' | 'lost', delayed + requeue + dead after it }
local source, group, owner, id = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
local pending = redis.call('XPENDING', source, group, id, id, 1, owner)[1]
if not pending then return { 'not-owner', -1 } end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local requeued = source == KEYS[6]
local entry = redis.call('XRANGE', source, id, id)[1]
local fields, retry = {}, {}
if entry then
  for i = 1, #entry[2], 2 do
    local name, value = entry[2][i], entry[2][i + 1]
    if requeued and string.sub(name, 1, 6) == 'retry.' then
      retry[name] = value
    else
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
end
local entryId = retry['retry.entryId'] or id
local crashes = string.format('%d', pending[4] - 1 + (tonumber(retry['retry.crashes']) or 0))
local firstFailedAt = retry['retry.firstFailedAt'] or string.format('%.0f', now)

local outcome
if entry and tonumber(ARGV[4]) >= 0 then
  outcome = 'delayed'
  redis.call('HSET', KEYS[3], entryId, cjson.encode({
    v = 1, fields = fields, attempts = ARGV[6], crashes = crashes, errors = ARGV[7], firstFailedAt = firstFailedAt
  }))
  redis.call('ZADD', KEYS[2], now + tonumber(ARGV[4]), entryId)
else
  outcome = entry and 'dead' or 'lost'
  for _, value in ipairs({
    'dead.entryId', entryId, 'dead.reason', entry and ARGV[5] or 'lost', 'dead.attempts', ARGV[6],
    'dead.crashes', crashes, 'dead.firstFailedAt', firstFailedAt, 'dead.lastFailedAt', string.format('%.0f', now),
    'dead.consumer', owner, 'dead.errors', ARGV[7], 'dead.fingerprint', ARGV[8]
  }) do
    fields[#fields + 1] = value
  end
  redis.call('XADD', KEYS[4], '*', unpack(fields))
  redis.call('HINCRBY', KEYS[5], 'deadTotal', 1)
  if not entry then redis.call('HINCRBY', KEYS[5], 'lost', 1) end
end
redis.call('XACK', source, group, id)
if requeued then redis.call('XDEL', source, id) end
return { outcome, redis.call('ZCARD', KEYS[2]) + redis.call('XLEN', KEYS[6]) + redis.call('XLEN', KEYS[4]) }
