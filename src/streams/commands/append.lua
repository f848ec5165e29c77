-- Appends the units of one flush. A unit is stored whole or refused whole.
--
-- KEYS[1]  the stream
-- KEYS[2]  the flush record of this flusher
-- KEYS[3]  the hash that counts remembered keys by the hour they expire
-- KEYS[4+] per event the keys under which it is remembered, in the order of the events; one known key makes it known
-- ARGV[1]  the flush's sequence number, rising within one flusher
-- ARGV[2]  the plan, JSON: [waits, repeats, shapes, units]. `waits`: 1 if the caller waits for durability behind this
--          call, else 0. `repeats`: 1 if a key comes more than once, else 0. `shapes`: what events have in common, each
--          [windowMs, keys, prints, name, value, ...], where a value of 0 is the event's own. `units`: each
--          [events, limit, shape, events of it, ...], a shape (from 1) for so many events in a row
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
local call = redis.call

local waits, repeats, shapes, units = unpack(cjson.decode(ARGV[2]))

local last = call('GET', record)
if last then
  local bar = string.find(last, '|', 1, true)
  local difference = tonumber(ARGV[1]) - tonumber(string.sub(last, 1, bar - 1))
  if difference == 0 then
    if waits == 1 then call('PEXPIRE', record, 3600000) end
    return { call('XLEN', stream), string.sub(last, bar + 1) }
  end
  if difference < 0 then return redis.error_reply('STALE this flush was followed by a later one') end
end

-- Once per shape what would cost more once per event: its XADD and where in that an event's own values go; when keys
-- expire, as text; how many keys were written.
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, shape in ipairs(shapes) do
  local command, own = { 'XADD', stream, '*' }, {}
  for n = 4, #shape do
    command[n] = shape[n]
    if shape[n] == 0 then own[#own + 1] = n end
  end
  shape.windowMs, shape.keys, shape.prints = shape[1], shape[2], shape[3] == 1
  shape.command, shape.own = command, own
  shape.expireAt, shape.written = string.format('%.0f', now + shape.windowMs), 0
end

-- What stands under a key, by its position. Most flushes bring nothing but new events: then there is nothing to decide.
local found = {}
for first = 4, #KEYS, 1000 do
  local values = call('MGET', unpack(KEYS, first, math.min(first + 999, #KEYS)))
  for n = 1, #values do
    if values[n] then found[first + n - 1] = values[n] end
  end
end
local allNew = repeats == 0 and next(found) == nil

-- By key: what this flush has written since, or the number of the event of the unit at hand that will be stored with it.
-- Events are numbered through the flush: smaller numbers were left there by the units before.
local here = {}

-- The entry id that stands there, and whether it goes with another fingerprint than `print`.
local function parsed(value, print)
  local bar = string.find(value, '|', 1, true)
  if not bar then return value end
  local other = string.sub(value, bar + 1)
  local differs = print and other ~= print and string.match(other, '^(.-)%.') == string.match(print, '^(.-)%.')
  return string.sub(value, 1, bar - 1), differs
end

-- Of a unit whose first event has the number `i`, the first key at `k` and the first argument at `a`: by number the id an
-- event is known under, or the number of the new event of this unit that it repeats; how many are new; and which one's
-- key is known with another fingerprint, from 1.
local function decide(unit, i, k, a)
  local first = i
  local known, new, reused = {}, 0, nil
  for run = 3, #unit, 2 do
    local shape = shapes[unit[run]]
    for _ = 1, unit[run + 1] do
      local print, is
      if shape.prints then print, a = ARGV[a], a + 1 end
      for n = k, k + shape.keys - 1 do
        local value = found[n] or here[KEYS[n]]
        if type(value) == 'string' then
          local id, differs = parsed(value, n == k and print)
          if type(is) ~= 'string' then is = id end
          if differs then reused = reused or i - first + 1 end
        elseif value and value >= first then
          is = is or value
        end
      end
      known[i] = is
      if not is then new = new + 1 end
      for n = k, k + shape.keys - 1 do
        -- Who repeats an event by one key is found under the others too.
        if not found[n] and type(is) ~= 'string' and (here[KEYS[n]] or 0) < first then here[KEYS[n]] = is or i end
      end
      i, k, a = i + 1, k + shape.keys, a + #shape.own
    end
  end
  return known, new, reused
end

local length = call('XLEN', stream)
local results, count = {}, 0
local wrote, full
-- Of the next event: its number, its first key and its first argument.
local i, k, a = 1, 4, 3

for _, unit in ipairs(units) do
  local known, new, reused = {}, unit[1], nil
  if not allNew then known, new, reused = decide(unit, i, k, a) end
  local refusal
  if reused then
    refusal = '!reused:' .. reused
  elseif new > 0 and (full or length + new > unit[2]) then
    -- Later units wait too: a small unit must not overtake a large one for ever.
    full = true
    refusal = '!full'
  else
    length = length + new
  end
  if refusal then
    count = count + 1
    results[count] = refusal
  end

  -- Where an event's result stands, by its number.
  local offset = count + 1 - i
  for run = 3, #unit, 2 do
    local shape, events = shapes[unit[run]], unit[run + 1]
    local keys, prints, command, own, expireAt = shape.keys, shape.prints, shape.command, shape.own, shape.expireAt
    local values = #own
    if refusal then
      i, k, a = i + events, k + keys * events, a + (prints and values + 1 or values) * events
      events = 0
    end
    for _ = 1, events do
      local print
      if prints then print, a = ARGV[a], a + 1 end
      local is = known[i]
      if not is then
        for n = 1, values do command[own[n]] = ARGV[a + n - 1] end
        local id = call(unpack(command))
        wrote = true
        results[offset + i] = id
        for n = k, k + keys - 1 do
          local text = id
          if print and n == k then text = id .. '|' .. print end
          call('SET', KEYS[n], text, 'PXAT', expireAt)
          if not allNew then here[KEYS[n]] = text end
        end
        shape.written = shape.written + keys
      elseif type(is) == 'number' then
        results[offset + i] = '=' .. results[offset + is]
      else
        results[offset + i] = '=' .. is
      end
      i, k, a = i + 1, k + keys, a + values
    end
    count = count + events
  end
end

local text = table.concat(results, ' ')
if wrote or waits == 1 then
  -- A late copy of a flush can only come from a connection that is still open somewhere: an hour is far beyond that.
  call('SET', record, ARGV[1] .. '|' .. text, 'PX', 3600000)
  for _, shape in ipairs(shapes) do
    local hour = math.floor((now + shape.windowMs) / 3600000)
    -- The first key of an hour clears the hours that have passed.
    if shape.written > 0 and call('HINCRBY', remembered, hour, shape.written) == shape.written then
      for _, other in ipairs(call('HKEYS', remembered)) do
        if tonumber(other) < math.floor(now / 3600000) then call('HDEL', remembered, other) end
      end
    end
  end
end
return { length, text }
