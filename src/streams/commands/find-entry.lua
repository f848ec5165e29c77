-- Looks for the newest entry whose fields have the given values, in one page of a stream.
--
-- KEYS[1]  the stream
-- ARGV[1]  the id to go back from ('+' or '(<id>')
-- ARGV[2]  the id to stop at ('-' or an id)
-- ARGV[3]  how many entries to look at
-- ARGV[4+] field name and value, in pairs; all must match
--
-- Returns { 'found', entry id, fields }, { 'more', id to go on from }, or { 'none' }. Reads only.
local rows = redis.call('XREVRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
for _, row in ipairs(rows) do
  local fields, matches = row[2], 0
  for i = 4, #ARGV, 2 do
    for j = 1, #fields, 2 do
      if fields[j] == ARGV[i] then
        if fields[j + 1] == ARGV[i + 1] then matches = matches + 1 end
        break
      end
    end
  end
  if matches == (#ARGV - 3) / 2 then return { 'found', row[1], fields } end
end
if #rows < tonumber(ARGV[3]) then return { 'none' } end
return { 'more', '(' .. rows[#rows][1] }
