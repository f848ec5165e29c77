-- Makes sure a group exists on its stream and on its requeue stream. Idempotent.
-- A group that existed before and is gone (DEL, XGROUP DESTROY, a failover that lost it) is made again at 0, never at
-- the end: what it had not read yet must not be skipped. That is counted as `recreated`.
-- KEYS 1 stream, 2 requeue, 3 counts
-- ARGV 1 group, 2 where a group that never existed starts: '0' or '$'
-- Returns 'exists', 'created' or 'recreated'. OOM: an error, and what is missing stays missing.
local function create(key, at)
  local reply = redis.pcall('XGROUP', 'CREATE', key, ARGV[1], at, 'MKSTREAM')
  if not reply.err then return true end
  if string.find(reply.err, 'BUSYGROUP', 1, true) then return false end
  return nil, reply
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function ensure(key, start, marker)
  local known = redis.call('HEXISTS', KEYS[3], marker) == 1
  local made, fault = create(key, known and '0' or start)
  if fault then return nil, fault end
  if not known then redis.call('HSET', KEYS[3], marker, now) end
  return made and (known and 'recreated' or 'created') or 'exists'
end

local main, side, fault
side, fault = ensure(KEYS[2], '0', 'requeueCreated')
if fault then return fault end
main, fault = ensure(KEYS[1], ARGV[2], 'created')
if fault then return fault end
if main == 'recreated' or side == 'recreated' then
  redis.call('HINCRBY', KEYS[3], 'recreated', 1)
  return 'recreated'
end
return main
