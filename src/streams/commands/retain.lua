-- Trims a stream towards its length, never past an entry that a pinning group still needs.
--
-- KEYS[1]  the stream
-- KEYS[2+] the counts hash of every group, in the order of the groups in ARGV
-- ARGV[1]  the length to keep
-- ARGV[2]  1: also cut inside the oldest node, 0: whole nodes only (cheap, leaves up to 100 entries too many)
-- ARGV[3]  'keep' or 'drop': may unread entries be cut?
-- ARGV[4+] per group: name, pins (1 or 0), start ('' for a group the topology does not name, else '0' or '$')
--
-- Returns { 'unknown', names of groups that were not given } without doing anything, or
-- { 'done', removed, length, pinning group, its oldest entry needed, consumer, milliseconds since }.
--
-- Groups that are named and missing are created first, at their start or, if they existed once, at 0; both is counted.
-- What a group that does not pin had not read of the part that was cut is counted as lost, exactly: entries and a
-- group's cursor are in the same order, so of the `removed` oldest entries it has read those up to its cursor.
-- At most 1,000 entries are cut in a call; ask again while `removed` is not 0. Atomic.
local stream, keep, exact, unread = KEYS[1], tonumber(ARGV[1]), ARGV[2] == '1', ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local function before(a, b)
  local ams, aseq = parts(a)
  local bms, bseq = parts(b)
  return ams < bms or (ams == bms and aseq < bseq)
end
local function next_id(id)
  local ms, seq = parts(id)
  return string.format('%.0f-%.0f', ms, seq + 1)
end

local given, order = {}, {}
for i = 4, #ARGV, 3 do
  local group = { name = ARGV[i], pins = ARGV[i + 1] == '1', start = ARGV[i + 2], counts = KEYS[2 + (i - 4) / 3] }
  given[group.name] = group
  order[#order + 1] = group
end

local unknown = { 'unknown' }
if redis.call('EXISTS', stream) == 1 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local row = {}
    for j = 1, #info, 2 do row[info[j]] = info[j + 1] end
    local group = given[row.name]
    if group then group.cursor = row['last-delivered-id'] else unknown[#unknown + 1] = row.name end
  end
end
if #unknown > 1 then return unknown end

local blocked
for _, group in ipairs(order) do
  if not group.cursor and group.start ~= '' then
    local again = redis.call('HEXISTS', group.counts, 'created') == 1
    local start = again and '0' or group.start
    -- At maxmemory a group cannot be created. Until it can, nothing may be cut that it would have to read.
    local reply = redis.pcall('XGROUP', 'CREATE', stream, group.name, start, 'MKSTREAM')
    if type(reply) == 'table' and reply.err then
      if group.pins and start == '0' then blocked = group end
    else
      redis.call('HINCRBY', group.counts, again and 'recreated' or 'created', again and 1 or now)
      group.cursor = start == '0' and '0-0' or redis.call('XINFO', 'STREAM', stream)[8]
    end
  end
end

local length = redis.call('XLEN', stream)
local safe, pin, holder, since
local any = false
for _, group in ipairs(order) do
  if group.cursor then
    any = true
    if group.pins and unread == 'keep' then
      local pending = redis.call('XPENDING', stream, group.name, '-', '+', 1)[1]
      local needed = pending and pending[1] or next_id(group.cursor)
      if not safe or before(needed, safe) then
        safe, pin = needed, group
        holder, since = pending and pending[2] or false, pending and pending[3] or nil
      end
    end
  end
end
if blocked then safe, pin, holder, since = '0-0', blocked, false, nil end
if pin and not since then
  local first = redis.call('XRANGE', stream, safe, '+', 'COUNT', 1)[1]
  if first then
    safe = first[1]
    since = math.max(0, now - parts(first[1]))
  else
    -- The group that is furthest behind has everything: nobody holds anything back.
    pin = nil
  end
end

local removed = 0
local excess = math.min(length - keep, 1000)
if excess > 0 and not blocked then
  local behind = {}
  for _, group in ipairs(order) do
    if group.cursor and not (group.pins and unread == 'keep') then behind[#behind + 1] = group end
  end
  local oldest = (#behind > 0 or exact) and redis.call('XRANGE', stream, '-', '+', 'COUNT', excess) or {}
  if safe then
    removed = redis.call('XTRIM', stream, 'MINID', '~', safe, 'LIMIT', excess)
  else
    removed = redis.call('XTRIM', stream, 'MAXLEN', '~', keep, 'LIMIT', excess)
  end
  if exact and removed < excess then
    local to = next_id(oldest[excess][1])
    if safe and before(safe, to) then to = safe end
    removed = removed + redis.call('XTRIM', stream, 'MINID', '=', to)
  end
  for _, group in ipairs(behind) do
    local read = 0
    while read < removed and not before(group.cursor, oldest[read + 1][1]) do read = read + 1 end
    if removed > read then redis.call('HINCRBY', group.counts, 'lost', removed - read) end
  end
end
return { 'done', removed, length - removed, pin and pin.name or false, safe or false, holder or false, since or false }
