-- Reads new entries of one partition for the owner of its lease. They become pending under one name for all owners:
-- what is pending belongs to whoever holds the lease.
-- KEYS 1 lease, 2 stream, 3 requeue
-- ARGV 1 owner, 2 generation, 3 group, 4 how many at most of each stream
-- Returns { 0 } when the lease is not the owner's, else { 1, entries of the stream, entries of requeue, and when there
-- are none the id of the last entry read of each }
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('HMGET', KEYS[1], 'owner', 'generation', 'until')
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] or tonumber(lease[3]) <= now then return { 0 } end
local reply = redis.call('XREADGROUP', 'GROUP', ARGV[3], '~owner', 'COUNT', ARGV[4], 'STREAMS', KEYS[2], KEYS[3], '>', '>')
if not reply then
  local function cursor(key)
    for _, info in ipairs(redis.call('XINFO', 'GROUPS', key)) do
      local row = {}
      for i = 1, #info, 2 do row[info[i]] = info[i + 1] end
      if row.name == ARGV[3] then return row['last-delivered-id'] end
    end
    return '0-0'
  end
  return { 1, {}, {}, cursor(KEYS[2]), cursor(KEYS[3]) }
end
local read = { [KEYS[2]] = {}, [KEYS[3]] = {} }
for _, part in ipairs(reply) do read[part[1]] = part[2] end
return { 1, read[KEYS[2]], read[KEYS[3]] }
