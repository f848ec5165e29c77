-- Renews the lease of one partition, and tells its owner how the group stands there. A lease that has run out is not
-- renewed, even if nobody has taken it: it must be claimed anew.
-- KEYS 1 lease, 2 live, 3 paused, 4 dead, 5 rebuild
-- ARGV 1 owner, 2 generation, 3 leaseMs
-- Returns { 'lost' } or { 'renewed', paused 0|1, dead letters, id of a rebuild that is asked for or '' }
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease = redis.call('HMGET', KEYS[1], 'owner', 'generation', 'until')
if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] or tonumber(lease[3]) <= now then return { 'lost' } end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + tonumber(ARGV[3])))
local rebuild = redis.call('HMGET', KEYS[5], 'state', 'id')
return {
  'renewed', redis.call('EXISTS', KEYS[3]), redis.call('XLEN', KEYS[4]), rebuild[1] == 'wanted' and rebuild[2] or ''
}
