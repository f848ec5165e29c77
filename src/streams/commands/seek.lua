-- Sets where a paused group reads on and, if asked, drops what it has pending, delayed and requeued. All or nothing.
-- KEYS 1 stream, 2 requeue, 3 paused, 4 delayed, 5 delayed:entries, 6 counts, 7 held
-- ARGV 1 group, 2 the last entry it shall count as delivered ('$' = the last one there is), 3 dry run 0|1, 4 clear 0|1,
--   5 the last entry it counts as delivered now, 6 how many entries lie between (both for a seek that is no dry run)
-- Returns { 'not-paused' }, { 'missing' }, { 'moved' } (the group does not stand where ARGV 5 says) or { 'done', the entry
-- it counts as delivered now, the one it shall, pending, delayed, requeued }: what is, or would be, dropped. A dry run
-- changes nothing. Safe to repeat.
local group, to = ARGV[1], ARGV[2]
if redis.call('EXISTS', KEYS[3]) == 0 then return { 'not-paused' } end
if redis.call('EXISTS', KEYS[1]) == 0 then return { 'missing' } end
local info
for _, row in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local of = {}
  for i = 1, #row, 2 do of[row[i]] = row[i + 1] end
  if of.name == group then info = of end
end
if not info then return { 'missing' } end
if to == '$' then
  local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
  to = last and last[1] or '0-0'
end
local requeued = redis.call('XLEN', KEYS[2])
local delayed = redis.call('ZCARD', KEYS[4])
-- What is pending in the requeue stream is part of its length.
local answer = { 'done', info['last-delivered-id'], to, info.pending, delayed, requeued }
if ARGV[3] == '1' then return answer end
if info['last-delivered-id'] ~= ARGV[5] then return { 'moved' } end
if tonumber(ARGV[6]) > 0 then redis.call('HINCRBY', KEYS[6], 'skipped', ARGV[6]) end
if ARGV[4] == '1' then
  -- Destroying the group drops its pending list whole, however long it is.
  redis.call('XGROUP', 'DESTROY', KEYS[1], group)
  redis.call('XGROUP', 'CREATE', KEYS[1], group, to)
  redis.call('UNLINK', KEYS[2], KEYS[4], KEYS[5], KEYS[7])
  redis.call('XGROUP', 'CREATE', KEYS[2], group, '0', 'MKSTREAM')
  redis.call('HINCRBY', KEYS[6], 'cleared', info.pending + delayed + requeued)
else
  redis.call('XGROUP', 'SETID', KEYS[1], group, to)
end
return answer
