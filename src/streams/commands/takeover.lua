-- Takes over what a vanished consumer holds, in the stream and in the requeue stream.
--
-- What becomes of an entry depends on the name that owns it (see src/consume/suspects.ts):
--   victim            crashes = 0: charged one crash. More: it was read, never started; no charge.  -> ~suspects,
--                     or ~alone once it has crashed twice
--   victim:together   ran beside other suspects: any of them may be to blame; no charge. The next round is smaller:
--                     -> ~suspects-16; of victim:together-16 -> ~suspects-4; of victim:together-4 -> ~alone
--   victim:alone      ran alone, so it is to blame: charged one crash.                              -> ~alone
--                     With `maxAttempts` crashes it becomes a dead letter `crashed` instead.
-- A victim that never sent a heartbeat is not one of ours (somebody claimed entries for it): what it has left idle for
-- staleAfterMs goes to ~handed-over, uncharged. An entry that is gone from the stream becomes a `lost` dead letter.
--
-- A call that was held up (a stopped server, a late copy of an old request) must do nothing, because every heartbeat looks
-- old then: the caller says when its own last one arrived, and that must be recent.
-- KEYS 1 stream, 2 requeue, 3 live, 4 dead, 5 counts
-- ARGV 1 group, 2 victim, 3 the caller's last heartbeat (Redis ms), 4 staleAfterMs, 5 maxAttempts, 6 how many at most
-- Returns { 'late' | 'alive' | 'stale' | 'stranger', entries moved, dead letters made }; moved < limit: nothing is left.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local group, victim, staleAfter, limit = ARGV[1], ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[6])
if now - tonumber(ARGV[3]) > staleAfter / 3 then return { 'late', 0, 0 } end
local beat = redis.call('ZSCORE', KEYS[3], victim)
if beat and now - tonumber(beat) < staleAfter then return { 'alive', 0, 0 } end
local nowText = string.format('%.0f', now)

local function bury(key, id, fields, reason, crashes, owner)
  local letter, retry = {}, {}
  for i = 1, #fields, 2 do
    if key == KEYS[2] and string.sub(fields[i], 1, 6) == 'retry.' then
      retry[fields[i]] = fields[i + 1]
    else
      letter[#letter + 1] = fields[i]
      letter[#letter + 1] = fields[i + 1]
    end
  end
  for _, value in ipairs({
    'dead.entryId', retry['retry.entryId'] or id, 'dead.reason', reason,
    'dead.attempts', retry['retry.attempts'] or '0', 'dead.crashes', string.format('%d', crashes),
    'dead.firstFailedAt', retry['retry.firstFailedAt'] or nowText, 'dead.lastFailedAt', nowText,
    'dead.consumer', owner, 'dead.errors', retry['retry.errors'] or '', 'dead.fingerprint', reason
  }) do
    letter[#letter + 1] = value
  end
  redis.call('XADD', KEYS[4], '*', unpack(letter))
  redis.call('XACK', key, group, id)
  if key == KEYS[2] then redis.call('XDEL', key, id) end
  redis.call('HINCRBY', KEYS[5], 'deadTotal', 1)
  if reason == 'lost' then redis.call('HINCRBY', KEYS[5], 'lost', 1) end
end

local after = { [':together'] = '~suspects-16', [':together-16'] = '~suspects-4' }
local moved, buried, charged = 0, 0, 0
local function takeRow(key, owner, role, row)
  local id, count = row[1], row[4]
  moved = moved + 1
  local entry = redis.call('XRANGE', key, id, id)[1]
  local crashes = count - 1
  if not entry then
    buried = buried + 1
    return bury(key, id, {}, 'lost', crashes, owner)
  end
  if key == KEYS[2] then
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'retry.crashes' then crashes = crashes + tonumber(entry[2][i + 1]) end
    end
  end
  local charge, pool = 0, '~alone'
  if not beat then
    pool = '~handed-over'
  elseif role == ':alone' or (role == '' and crashes == 0) then
    charge, charged = 1, charged + 1
  end
  if beat and after[role] then pool = after[role] end
  if beat and role == '' and crashes < 2 then pool = '~suspects' end
  if role == ':alone' and crashes + charge >= tonumber(ARGV[5]) then
    buried = buried + 1
    return bury(key, id, entry[2], 'crashed', crashes + charge, victim)
  end
  redis.call('XCLAIM', key, group, pool, 0, id, 'RETRYCOUNT', count + charge, 'JUSTID')
end

local roles = beat and { '', ':together', ':together-16', ':together-4', ':alone' } or { '' }
for _, role in ipairs(roles) do
  for side = 1, 2 do
    local owner = victim .. role
    if moved < limit then
      local rows = redis.call('XPENDING', KEYS[side], group, 'IDLE', beat and 0 or staleAfter, '-', '+', limit - moved, owner)
      for _, row in ipairs(rows) do takeRow(KEYS[side], owner, role, row) end
    end
  end
end
if charged > 0 then redis.call('HINCRBY', KEYS[5], 'crashes', charged) end
if moved > 0 then redis.call('HINCRBY', KEYS[5], 'redeliveries', moved) end
return { beat and 'stale' or 'stranger', moved, buried }
