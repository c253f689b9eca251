-- Ends a claim so that the command is due again, after a delay.
--   KEYS[1]  the queue's commands (hash)     KEYS[2]  the partition's schedule
--   ARGV[1]  the schedule's member           ARGV[2]  the claim's token      ARGV[3]  the delay in milliseconds
--   ARGV[4]  '1': it was tried. The attempt wasn't abandoned, so that count starts again at 0; the client is
--            answered that the record is kept, so there is nothing to roll back any more.
--            '0': it wasn't tried, and all is as before the claim.
--   ARGV[5]  counted failures so far, when Velt has just answered it with one; empty: it hasn't
-- Returns 1, or 0 when the claim was lost.
if redis.call('HGET', KEYS[1], 'k') ~= ARGV[2] then
  return 0
end
-- First a write that takes no memory: see claim.lua.
redis.call('HDEL', KEYS[1], 'k')
if ARGV[4] == '1' then
  redis.call('HDEL', KEYS[1], 'v', 'p', 'l', 'u')
  redis.call('HSET', KEYS[1], 'k', '', 'a', 0)
else
  redis.call('HSET', KEYS[1], 'k', '', 'a', math.max(0, tonumber(redis.call('HGET', KEYS[1], 'a') or 0) - 1))
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if ARGV[5] ~= '' then
  redis.call('HSET', KEYS[1], 'f', ARGV[5], 'r', now)
end
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
return 1
