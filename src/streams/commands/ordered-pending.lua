-- One page of what is pending in a partition, with its state, for the owner of its lease. An entry that is gone from its
-- stream becomes a `lost` dead letter.
-- KEYS 1 lease, 2 the stream they are pending in (stream or requeue), 3 held, 4 dead, 5 counts
-- ARGV 1 owner, 2 generation, 3 group, 4 side (stream | requeue), 5 from ('-' or '(<id>'), 6 how many at most
-- Returns { 0 } when the lease is not the owner's, else
-- { 1, { { id, fields, state or '', crashes }, ... }, where the next page begins or '' }
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('HMGET', KEYS[1], 'owner', 'generation', 'until')
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] or tonumber(lease[3]) <= now then return { 0 } end
local rows = redis.call('XPENDING', KEYS[2], ARGV[3], ARGV[5], '+', ARGV[6])
local found = {}
for _, row in ipairs(rows) do
  local id = row[1]
  local field = ARGV[4] .. ':' .. id
  local state, crashes = unpack(redis.call('HMGET', KEYS[3], field, 'crashes:' .. field))
  local entry = redis.call('XRANGE', KEYS[2], id, id)[1]
  if entry then
    found[#found + 1] = { id, entry[2], state or '', tonumber(crashes) or 0 }
  else
    local at = string.format('%.0f', now)
    redis.call('XADD', KEYS[4], '*', 'dead.entryId', id, 'dead.reason', 'lost', 'dead.attempts', '0',
      'dead.crashes', crashes or '0', 'dead.firstFailedAt', at, 'dead.lastFailedAt', at, 'dead.consumer', ARGV[1],
      'dead.errors', '', 'dead.fingerprint', 'lost')
    redis.call('XACK', KEYS[2], ARGV[3], id)
    redis.call('HDEL', KEYS[3], field, 'crashes:' .. field)
    redis.call('HINCRBY', KEYS[5], 'deadTotal', 1)
    redis.call('HINCRBY', KEYS[5], 'lost', 1)
  end
end
return { 1, found, #rows == tonumber(ARGV[6]) and '(' .. rows[#rows][1] or '' }
