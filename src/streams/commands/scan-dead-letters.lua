-- Looks through one page of a group's dead letters, or through the named ones, and does one thing with those that match.
-- KEYS 1 dead, 2 counts
-- ARGV 1 what to do: 'list' | 'newest' (as list, from the end) | 'summary' | 'discard', 2 from, 3 to (entry ids, '(' allowed),
--   4 how many to look at, 5 how many matches at most, 6 field names and values as a JSON object; all must match
-- Returns { id of the last letter looked at or '', 1 if there may be more, matches }. A match is, by what is done:
--   list, newest  { id, fields without data }
--   summary       { fingerprint, reason, how many, first id, last id, event type, dead.errors of the last }
--   discard       its id; it is deleted and counted as `discarded`. Atomic, safe to repeat.
local key, action, limit = KEYS[1], ARGV[1], tonumber(ARGV[5])
local filter = cjson.decode(ARGV[6])
local rows
if action == 'newest' then
  rows = redis.call('XREVRANGE', key, ARGV[3], ARGV[2], 'COUNT', ARGV[4])
else
  rows = redis.call('XRANGE', key, ARGV[2], ARGV[3], 'COUNT', ARGV[4])
end

local function matches(of)
  for name, value in pairs(filter) do
    if of[name] ~= value then return false end
  end
  return true
end

local found, groups, last, more = {}, {}, '', #rows == tonumber(ARGV[4])
for _, row in ipairs(rows) do
  if #found >= limit then
    more = true
    break
  end
  last = row[1]
  local fields, of = row[2], {}
  for i = 1, #fields, 2 do of[fields[i]] = fields[i + 1] end
  if matches(of) then
    if action == 'discard' then
      found[#found + 1] = last
    elseif action == 'summary' then
      local name = (of['dead.fingerprint'] or '') .. '\0' .. (of['dead.reason'] or '')
      local group = groups[name]
      if not group then
        group = { of['dead.fingerprint'] or '', of['dead.reason'] or '', 0, last, '', '', '' }
        groups[name] = group
        found[#found + 1] = group
      end
      group[3], group[5], group[6], group[7] = group[3] + 1, last, of['type'] or '', of['dead.errors'] or ''
    else
      local shown = {}
      for i = 1, #fields, 2 do
        if fields[i] ~= 'data' and fields[i] ~= 'data_base64' then
          shown[#shown + 1] = fields[i]
          shown[#shown + 1] = fields[i + 1]
        end
      end
      found[#found + 1] = { last, shown }
    end
  end
end
if action == 'discard' and #found > 0 then
  redis.call('XDEL', key, unpack(found))
  redis.call('HINCRBY', KEYS[2], 'discarded', #found)
end
return { last, more and 1 or 0, found }
