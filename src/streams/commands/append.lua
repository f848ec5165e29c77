-- Appends the units of one flush. A unit is stored whole or refused whole.
--
-- KEYS[1]  the stream
-- KEYS[2]  the flush record of this flusher
-- KEYS[3]  the hash that counts remembered keys by the hour they expire
-- KEYS[4+] per event the keys under which it is remembered, in the order of the events; one known key makes it known
-- ARGV[1]  the flush's sequence number, rising within one flusher
-- ARGV[2]  the plan, JSON: [waits, shapes, units]. `waits`: 1 if the caller waits for durability behind this call, else
--          0. `shapes`: what many events have in common, each [windowMs, keys, prints, name, value, ...], where a value
--          of 0 is the event's own. `units`: numbers, per unit `events, limit` and then each event's shape, from 1
-- ARGV[3+] per event its own values; in front of them, if `prints` is 1, the fingerprint that goes with its first key
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

local waits, shapes, units = unpack(cjson.decode(ARGV[2]))

local last = redis.call('GET', record)
if last then
  local bar = string.find(last, '|', 1, true)
  local difference = tonumber(ARGV[1]) - tonumber(string.sub(last, 1, bar - 1))
  if difference == 0 then
    if waits == 1 then redis.call('PEXPIRE', record, 3600000) end
    return { redis.call('XLEN', stream), string.sub(last, bar + 1) }
  end
  if difference < 0 then return redis.error_reply('STALE this flush was followed by a later one') end
end

local function differs(a, b)
  return a ~= b and string.match(a, '^(.-)%.') == string.match(b, '^(.-)%.')
end

-- Once per shape what would cost more once per event: its XADD and where in that an event's own values go; when keys
-- expire, as text; how many keys were written.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, shape in ipairs(shapes) do
  local command, own = { 'XADD', stream, '*' }, {}
  for n = 4, #shape do
    command[n] = shape[n]
    if shape[n] == 0 then own[#own + 1] = n end
  end
  shape.windowMs, shape.keys, shape.prints = shape[1], shape[2], shape[3] == 1
  shape.command, shape.own, shape.values = command, own, #own
  shape.expireAt, shape.written = string.format('%.0f', now + shape.windowMs), 0
end

-- What stands under the keys, by position and as it was; and by key what this flush has written since.
local found, stored = {}, {}
for first = 4, #KEYS, 1000 do
  local values = redis.call('MGET', unpack(KEYS, first, math.min(first + 999, #KEYS)))
  for i = 1, #values do found[first + i - 1] = values[i] end
end

local length = redis.call('XLEN', stream)
local results = {}
local wrote, full
local p, k, a = 1, 4, 3

while p <= #units do
  local count, limit = units[p], units[p + 1]
  p = p + 1

  -- Decide: for each event either the id it is known under, the event of this unit that it repeats, or that it is new.
  local known, repeats, keys, prints, values = {}, {}, {}, {}, {}
  local firsts, new, reused = {}, 0, nil
  for i = 1, count do
    local shape = shapes[units[p + i]]
    if shape.prints then prints[i], a = ARGV[a], a + 1 end
    keys[i], values[i] = k, a
    for n = k, k + shape.keys - 1 do
      local key = KEYS[n]
      if firsts[key] then
        repeats[i] = repeats[i] or firsts[key]
      else
        firsts[key] = i
        local value = stored[key] or found[n]
        if value then
          local bar = string.find(value, '|', 1, true)
          known[i] = known[i] or bar and string.sub(value, 1, bar - 1) or value
          if n == k and bar and prints[i] and differs(string.sub(value, bar + 1), prints[i]) then
            reused = reused or i
          end
        end
      end
    end
    if not known[i] and not repeats[i] then new = new + 1 end
    k, a = k + shape.keys, a + shape.values
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
        local shape = shapes[units[p + i]]
        local command, own, value = shape.command, shape.own, values[i] - 1
        for n = 1, shape.values do command[own[n]] = ARGV[value + n] end
        local id = redis.call(unpack(command))
        wrote = true
        results[#results + 1] = id
        known[i] = id
        for n = keys[i], keys[i] + shape.keys - 1 do
          local text = id
          if n == keys[i] and prints[i] then text = id .. '|' .. prints[i] end
          redis.call('SET', KEYS[n], text, 'PXAT', shape.expireAt)
          stored[KEYS[n]] = text
        end
        shape.written = shape.written + shape.keys
      end
    end
    length = length + new
  end
  p = p + count + 1
end

local text = table.concat(results, ' ')
if wrote or waits == 1 then
  -- A late copy of a flush can only come from a connection that is still open somewhere: an hour is far beyond that.
  redis.call('SET', record, ARGV[1] .. '|' .. text, 'PX', 3600000)
  for _, shape in ipairs(shapes) do
    local hour = math.floor((now + shape.windowMs) / 3600000)
    -- The first key of an hour clears the hours that have passed.
    if shape.written > 0 and redis.call('HINCRBY', remembered, hour, shape.written) == shape.written then
      for _, other in ipairs(redis.call('HKEYS', remembered)) do
        if tonumber(other) < math.floor(now / 3600000) then redis.call('HDEL', remembered, other) end
      end
    end
  end
end
return { length, text }
