-- One step of a replay: moves as many dead letters to the group's requeue stream as its rate allows now. Each is moved
-- at most once, by whatever process and however often a step is repeated, because the move deletes the letter.
-- The event keeps its id and its failure history; its attempts and crashes start again. `lost` letters have no event to
-- run and stay where they are, counted as skipped.
-- KEYS 1 job, 2 dead, 3 requeue, 4 the active replays of the stream, 5 counts
-- ARGV 1 job id, 2 this process, 3 lease in ms, 4 how many letters to look at, 5 how long a finished job is kept, in ms
-- Returns { status, milliseconds to wait }; status is 'gone', 'busy' (another process has the lease) or 'newer'
--   (only a newer Headgate knows how), else the job's own: 'running', 'done' or 'cancelled'.
-- XADD comes first: at maxmemory the step fails whole, and the job waits.
local job = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do job[flat[i]] = flat[i + 1] end
if not job.status then return { 'gone', 0 } end
if tonumber(job.v or 1) ~= 1 then return { 'newer', 0 } end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if job.status ~= 'running' then return { job.status, 0 } end
if job.owner and job.owner ~= ARGV[2] and tonumber(job.leaseUntil) > now then
  return { 'busy', tonumber(job.leaseUntil) - now }
end

local rate = tonumber(job.ratePerSecond)
-- What a late step may catch up with: half a second's worth.
local burst = math.max(1, rate / 2)
local elapsed = math.max(0, now - tonumber(job.tokensAt))
local tokens = math.min(burst, tonumber(job.tokens) + elapsed * rate / 1000)
local left = tonumber(job.limit) - tonumber(job.requeued)
local look = tonumber(ARGV[4])
local cursor, done, wait = job.cursor, false, 0
local requeued, skipped, missing = 0, 0, 0
local filter = cjson.decode(job.filter)

local function requeue(row)
  local fields, about = {}, {}
  for i = 1, #row[2], 2 do
    local name, value = row[2][i], row[2][i + 1]
    if string.sub(name, 1, 5) == 'dead.' then
      about[name] = value
    else
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  redis.call('XADD', KEYS[3], '*', 'retry.entryId', about['dead.entryId'], 'retry.attempts', '0', 'retry.crashes', '0',
    'retry.errors', about['dead.errors'] or '', 'retry.firstFailedAt', about['dead.firstFailedAt'] or string.format('%.0f', now),
    unpack(fields))
  redis.call('XDEL', KEYS[2], row[1])
end

-- false: the rate does not allow it yet
local function take(row)
  local of = {}
  for i = 1, #row[2], 2 do of[row[2][i]] = row[2][i + 1] end
  for name, value in pairs(filter) do
    if of[name] ~= value then return true end
  end
  if of['dead.reason'] == 'lost' then
    skipped = skipped + 1
    return true
  end
  if tokens < 1 then return false end
  requeue(row)
  tokens, requeued = tokens - 1, requeued + 1
  return true
end

if left <= 0 then
  done = true
elseif job.ids ~= '' then
  local ids = cjson.decode(job.ids)
  local n = tonumber(cursor or '0')
  while n < #ids and look > 0 and requeued < left do
    local row = redis.call('XRANGE', KEYS[2], ids[n + 1], ids[n + 1])[1]
    if not row then
      missing = missing + 1
    elseif not take(row) then
      break
    end
    n, look = n + 1, look - 1
  end
  cursor, done = tostring(n), n >= #ids
else
  local rows = redis.call('XRANGE', KEYS[2], cursor and '(' .. cursor or job.from, job.upTo, 'COUNT', look)
  local held = false
  for _, row in ipairs(rows) do
    if requeued >= left or not take(row) then
      held = true
      break
    end
    cursor = row[1]
  end
  done = not held and #rows < look
end
if requeued >= left then done = true end
-- A twentieth of a second's worth at a time: one call per letter would be most of the work.
if not done and tokens < 1 then wait = math.ceil((math.max(1, rate / 20) - tokens) * 1000 / rate) end

local changes = {
  'tokens', string.format('%.6f', tokens), 'tokensAt', string.format('%.0f', now), 'owner', ARGV[2],
  'leaseUntil', string.format('%.0f', now + tonumber(ARGV[3])), 'requeued', job.requeued + requeued,
  'skipped', job.skipped + skipped, 'missing', job.missing + missing
}
if cursor then
  changes[#changes + 1] = 'cursor'
  changes[#changes + 1] = cursor
end
redis.call('HSET', KEYS[1], unpack(changes))
if requeued > 0 then redis.call('HINCRBY', KEYS[5], 'replayed', requeued) end
if not done then return { 'running', wait } end
redis.call('HSET', KEYS[1], 'status', 'done', 'endedAt', string.format('%.0f', now))
redis.call('HDEL', KEYS[1], 'owner', 'leaseUntil')
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('SREM', KEYS[4], job.group .. ' ' .. ARGV[1])
return { 'done', 0 }
