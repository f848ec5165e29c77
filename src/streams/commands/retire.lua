-- Removes a consumer of ours for good: its heartbeat, and its names from both groups. Refuses while anything is pending
-- under one of them, because XGROUP DELCONSUMER would drop that, and while its heartbeat is younger than `idleMs`.
-- KEYS 1 stream, 2 requeue, 3 live
-- ARGV 1 group, 2 consumer, 3 idleMs (0: the consumer itself asks)
-- Returns 1, or 0 when it refused.
local group, consumer = ARGV[1], ARGV[2]
local time = redis.call('TIME')
local beat = redis.call('ZSCORE', KEYS[3], consumer)
if beat and time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(beat) < tonumber(ARGV[3]) then return 0 end
local names = { consumer }
for _, role in ipairs({ ':together', ':together-16', ':together-4', ':alone' }) do names[#names + 1] = consumer .. role end
for side = 1, 2 do
  for _, name in ipairs(names) do
    if #redis.call('XPENDING', KEYS[side], group, '-', '+', 1, name) > 0 then return 0 end
  end
end
for side = 1, 2 do
  for _, name in ipairs(names) do redis.call('XGROUP', 'DELCONSUMER', KEYS[side], group, name) end
end
redis.call('ZREM', KEYS[3], consumer)
return 1
