-- Pauses a group, or lets it go on. Idempotent: a second pause keeps the time of the first.
-- The DEL in front lets the SET pass at maxmemory (a script that has written is not refused any more).
-- KEYS 1 paused
-- ARGV 1 'pause' or 'resume'
-- Returns { 1 if something changed or 0, since when it is paused or -1 }, Redis milliseconds.
local since = redis.call('GET', KEYS[1])
if ARGV[1] == 'resume' then return { redis.call('DEL', KEYS[1]), -1 } end
if since then return { 0, tonumber(since) or 0 } end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], string.format('%.0f', now))
return { 1, now }
