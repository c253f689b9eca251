-- Gives a claim back: the command is due again, after a while.
--   KEYS[1]  its commands (hash)     KEYS[2]  the partition's queue
--   ARGV[1]  the queue's member      ARGV[2]  the claim      ARGV[3]  milliseconds until it is due
--   ARGV[4]  '1': it was tried. That is an outcome, if not a happy one: the count starts anew, and whoever
--            wrote the record is answered that it is kept, so there is nothing to restore any more.
--            '0': it wasn't, and all is as before the claim.
--   ARGV[5]  counted failures so far, when Velt has answered it with a failure just now; empty: it hasn't
-- Returns 1, or 0 when the claim no longer holds.
if redis.call('HGET', KEYS[1], 'k') ~= ARGV[2] then
  return 0
end
-- First what takes no memory: see claim.lua.
redis.call('HDEL', KEYS[1], 'k')
if ARGV[4] == '1' then
  redis.call('HDEL', KEYS[1], 'v', 'p', 'l')
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
