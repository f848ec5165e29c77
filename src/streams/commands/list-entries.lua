-- The entries of one page of a stream that have the given field values.
-- KEYS 1 stream
-- ARGV 1 'asc' or 'desc', 2 from, 3 to (ids, '(' allowed), 4 how many to look at, 5 how many at most,
--   6 field names and values as a JSON object; all must match
-- Returns { id of the last entry looked at or '', 1 if there may be more, entries }. Reads only.
local rows
if ARGV[1] == 'desc' then
  rows = redis.call('XREVRANGE', KEYS[1], ARGV[3], ARGV[2], 'COUNT', ARGV[4])
else
  rows = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[3], 'COUNT', ARGV[4])
end
local filter, wanted = cjson.decode(ARGV[6]), 0
for _ in pairs(filter) do wanted = wanted + 1 end
local found, last = {}, ''
for _, row in ipairs(rows) do
  if #found >= tonumber(ARGV[5]) then return { last, 1, found } end
  last = row[1]
  local matching = 0
  if wanted > 0 then
    for i = 1, #row[2], 2 do
      if filter[row[2][i]] == row[2][i + 1] then matching = matching + 1 end
    end
  end
  if matching == wanted then found[#found + 1] = row end
end
return { last, #rows == tonumber(ARGV[4]) and 1 or 0, found }
