-- Ends a replay before it is through. What it has requeued stays requeued. Safe to repeat.
-- KEYS 1 job, 2 the active replays of the stream
-- ARGV 1 job id, 2 how long an ended job is kept, in ms
-- Returns the job's status afterwards, or false when there is no such job.
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'running' then return status end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'status', 'cancelled', 'endedAt',
  string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('HDEL', KEYS[1], 'owner', 'leaseUntil')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SREM', KEYS[2], redis.call('HGET', KEYS[1], 'group') .. ' ' .. ARGV[1])
return 'cancelled'
