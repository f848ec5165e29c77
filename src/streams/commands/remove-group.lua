-- Removes a group with everything that belongs to it. Refuses while it holds events, unless forced.
-- KEYS 1 stream, 2 requeue, 3 delayed, 4 dead, then its other companions
-- ARGV 1 group, 2 force 0|1
-- Returns { 1, 0 }, or { 0, events it holds } when it refused. Safe to repeat.
local pending = 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  for _, row in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local of = {}
    for i = 1, #row, 2 do of[row[i]] = row[i + 1] end
    if of.name == ARGV[1] then pending = of.pending end
  end
end
local holds = pending + redis.call('XLEN', KEYS[2]) + redis.call('ZCARD', KEYS[3]) + redis.call('XLEN', KEYS[4])
if holds > 0 and ARGV[2] == '0' then return { 0, holds } end
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1]) end
redis.call('UNLINK', unpack(KEYS, 2))
return { 1, 0 }
