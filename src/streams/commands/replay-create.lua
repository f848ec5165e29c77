-- Writes down a replay of one group's dead letters. It takes only letters that are dead at this moment. Safe to repeat.
-- KEYS 1 job, 2 dead, 3 the active replays of the stream
-- ARGV 1 job id, 2 group, 3 filter (fields and values, JSON), 4 first letter ('-' or an id), 5 last letter ('+' or an id),
--   6 ids (JSON array, '' = by filter), 7 how many at most, 8 letters per second, 9 by whom
-- Returns 1, or 0 when there is such a job.
-- The DEL in front lets the rest pass at maxmemory: making room out of dead letters must be possible then.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local newest = redis.call('XREVRANGE', KEYS[2], ARGV[5], ARGV[4], 'COUNT', 1)[1]
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', 1, 'group', ARGV[2], 'status', 'running', 'filter', ARGV[3], 'from', ARGV[4],
  'upTo', newest and newest[1] or '0-0', 'ids', ARGV[6], 'limit', ARGV[7], 'ratePerSecond', ARGV[8], 'createdBy', ARGV[9],
  'createdAt', now, 'requeued', 0, 'skipped', 0, 'missing', 0, 'tokens', 1, 'tokensAt', now)
redis.call('SADD', KEYS[3], ARGV[2] .. ' ' .. ARGV[1])
return 1
