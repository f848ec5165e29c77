-- Appends the units of one flush. A unit is stored whole or refused whole.
--
-- KEYS[1]  the stream
-- KEYS[2]  the flush record of this appender
-- KEYS[3]  the hash that counts remembered keys by the hour they expire
-- KEYS[4+] per event the keys under which it is remembered, in the order of the events; one known key makes it known
-- ARGV[1]  the flush's sequence number, rising within one appender
-- ARGV[2]  the plan, numbers: 1 if the caller waits for durability behind this call, else 0; then per unit
--          `events limit`, per event `arguments windowMs keys`
-- ARGV[3+] per event its fields; in front of them, if it has keys, the fingerprint ('' = never compared), which goes with
--          the first of them
--
-- Returns { length of the stream, results }; results holds, separated by blanks, per stored unit an entry id for each
-- event ('=' in front: the id of the first append of a known event), or one token for a refused unit: '!full' or
-- '!reused:<n>' (the n-th event's key is known with another fingerprint). Fingerprints of two kinds, which what stands in
-- front of a dot tells apart, are not compared: a newer Headgate may take them in another way.
--
-- Sent again after a lost reply, it answers from the flush record what it answered first. A copy that comes after a
-- later flush was recorded is refused. A flush that wrote nothing leaves no record: running it again is harmless.
-- XADD is the first write, so that `maxmemory` refuses the flush as a whole. WAIT looks at the caller's own last write:
-- where it waits and there was nothing to write, because all was stored before, the record is written instead.
local stream, record, remembered = KEYS[1], KEYS[2], KEYS[3]

local waits = string.sub(ARGV[2], 1, 1) == '1'

local last = redis.call('GET', record)
if last then
  local bar = string.find(last, '|', 1, true)
  local difference = tonumber(ARGV[1]) - tonumber(string.sub(last, 1, bar - 1))
  if difference == 0 then
    if waits then redis.call('PEXPIRE', record, 3600000) end
    return { redis.call('XLEN', stream), string.sub(last, bar + 1) }
  end
  if difference < 0 then return redis.error_reply('STALE this flush was followed by a later one') end
end

local function differs(a, b)
  return a ~= b and string.match(a, '^(.-)%.') == string.match(b, '^(.-)%.')
end

local plan = {}
for number in string.gmatch(ARGV[2], '%d+') do plan[#plan + 1] = tonumber(number) end

local length = redis.call('XLEN', stream)
local results = {}
local expiring = {}
local now, wrote, full
local p, k, a = 2, 3, 3

while p <= #plan do
  local count, limit = plan[p], plan[p + 1]
  p = p + 2

  -- Decide: for each event either the id it is known under, the event of this unit that it repeats, or that it is new.
  local known, repeats, keys, ends, prints, windows, from, to = {}, {}, {}, {}, {}, {}, {}, {}
  local firsts, new, reused = {}, 0, nil
  for i = 1, count do
    local arguments = plan[p]
    windows[i], keys[i], ends[i] = plan[p + 1], k + 1, k + plan[p + 2]
    p, k = p + 3, ends[i]
    if keys[i] <= ends[i] then prints[i], a = ARGV[a], a + 1 end
    for n = keys[i], ends[i] do
      local key = KEYS[n]
      if firsts[key] then
        repeats[i] = repeats[i] or firsts[key]
      else
        firsts[key] = i
        local value = redis.call('GET', key)
        if value then
          local bar = string.find(value, '|', 1, true)
          known[i] = known[i] or bar and string.sub(value, 1, bar - 1) or value
          if n == keys[i] and bar and prints[i] ~= '' and differs(string.sub(value, bar + 1), prints[i]) then
            reused = reused or i
          end
        end
      end
    end
    if not known[i] and not repeats[i] then new = new + 1 end
    from[i], to[i] = a, a + arguments - 1
    a = a + arguments
  end

  if reused then
    results[#results + 1] = '!reused:' .. reused
  elseif new > 0 and (full or length + new > limit) then
    -- Later units wait too: a small unit must not overtake a large one for ever.
    full = true
    results[#results + 1] = '!full'
  else
    for i = 1, count do
      if known[i] then
        results[#results + 1] = '=' .. known[i]
      elseif repeats[i] then
        known[i] = known[repeats[i]]
        results[#results + 1] = '=' .. known[i]
      else
        local id = redis.call('XADD', stream, '*', unpack(ARGV, from[i], to[i]))
        wrote = true
        results[#results + 1] = id
        known[i] = id
        for n = keys[i], ends[i] do
          local print = n == keys[i] and prints[i] or ''
          redis.call('SET', KEYS[n], print == '' and id or id .. '|' .. print, 'PX', windows[i])
          now = now or redis.call('TIME')[1] * 1000
          local hour = math.floor((now + windows[i]) / 3600000)
          expiring[hour] = (expiring[hour] or 0) + 1
        end
      end
    end
    length = length + new
  end
end

local text = table.concat(results, ' ')
if wrote or waits then
  -- A late copy of a flush can only come from a connection that is still open somewhere: an hour is far beyond that.
  redis.call('SET', record, ARGV[1] .. '|' .. text, 'PX', 3600000)
  for hour, count in pairs(expiring) do
    -- The first key of an hour clears the hours that have passed.
    if redis.call('HINCRBY', remembered, hour, count) == count then
      for _, other in ipairs(redis.call('HKEYS', remembered)) do
        if tonumber(other) < math.floor(now / 3600000) then redis.call('HDEL', remembered, other) end
      end
    end
  end
end
return { length, text }
