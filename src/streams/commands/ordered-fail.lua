-- Records a failure of an entry of an ordered group: it stays pending with its state in `held`, or it becomes a dead
-- letter. All or nothing and safe to repeat. The first write is one that maxmemory refuses.
-- KEYS 1 lease, 2 the stream the entry is pending in (stream or requeue), 3 held, 4 dead, 5 counts
-- ARGV 1 owner, 2 generation, 3 group, 4 side (stream | requeue), 5 id, 6 state (JSON text), or '' for a dead letter,
--   7 dead.reason, 8 attempts, 9 crashes, 10 errors (JSON text), 11 fingerprint, 12 first failed at
-- Returns 'refused' (the lease is not the owner's), 'gone' (not pending any more), 'held', 'dead' or 'lost'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('HMGET', KEYS[1], 'owner', 'generation', 'until')
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] or tonumber(lease[3]) <= now then return 'refused' end
local source, group, side, id = KEYS[2], ARGV[3], ARGV[4], ARGV[5]
if #redis.call('XPENDING', source, group, id, id, 1) == 0 then return 'gone' end
local field = side .. ':' .. id
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[3], field, ARGV[6])
  return 'held'
end
local entry = redis.call('XRANGE', source, id, id)[1]
local letter, entryId = {}, id
for i = 1, entry and #entry[2] or 0, 2 do
  local name, value = entry[2][i], entry[2][i + 1]
  if side == 'requeue' and string.sub(name, 1, 6) == 'retry.' then
    if name == 'retry.entryId' then entryId = value end
  else
    letter[#letter + 1] = name
    letter[#letter + 1] = value
  end
end
for _, value in ipairs({
  'dead.entryId', entryId, 'dead.reason', entry and ARGV[7] or 'lost', 'dead.attempts', ARGV[8], 'dead.crashes', ARGV[9],
  'dead.firstFailedAt', ARGV[12], 'dead.lastFailedAt', string.format('%.0f', now), 'dead.consumer', ARGV[1],
  'dead.errors', ARGV[10], 'dead.fingerprint', ARGV[11]
}) do
  letter[#letter + 1] = value
end
redis.call('XADD', KEYS[4], '*', unpack(letter))
if redis.call('HGET', KEYS[1], 'alone') == field then redis.call('HDEL', KEYS[1], 'alone') end
redis.call('XACK', source, group, id)
if side == 'requeue' then redis.call('XDEL', source, id) end
redis.call('HDEL', KEYS[3], field, 'crashes:' .. field)
redis.call('HINCRBY', KEYS[5], 'deadTotal', 1)
if not entry then redis.call('HINCRBY', KEYS[5], 'lost', 1) end
return entry and 'dead' or 'lost'
