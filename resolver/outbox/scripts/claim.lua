-- Claims the first command of a queue, if it is due, for the time of a lease.
--   KEYS[1]  the queue's commands (hash)     KEYS[2]  the partition's schedule     KEYS[3]  the record
--   ARGV[1]  the schedule's member           ARGV[2]  the claim's token            ARGV[3]  the lease in milliseconds
--   ARGV[4]  leave a command with this many abandoned attempts or more unclaimed; empty: never
-- Returns {sealed command, abandoned attempts before, 1 when the record is held, counted failures so far,
-- milliseconds since Velt last answered it with a failure (-1: never)}; {nil, abandoned attempts, 0, 0, -1} for
-- a command left by ARGV[4]; nil when the queue isn't due any more.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local due = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not due or tonumber(due) > now then
  return nil
end
local before = tonumber(redis.call('HGET', KEYS[1], 'a') or 0)
if ARGV[4] ~= '' and before >= tonumber(ARGV[4]) then
  return {false, before, 0, 0, -1}
end
-- A full Redis refuses a script's first write if that takes memory, and no later one. So the first write takes
-- none, and queued commands can be sent even then.
redis.call('HDEL', KEYS[1], 'k')
local head = redis.call('HGET', KEYS[1], 'h')
local command = head and redis.call('HGET', KEYS[1], head)
if not command then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('DEL', KEYS[1])
  return nil
end
redis.call('HSET', KEYS[1], 'k', ARGV[2], 'a', before + 1)
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
local failed = redis.call('HMGET', KEYS[1], 'f', 'r')
local since = failed[2] and now - tonumber(failed[2]) or -1
return {command, before, redis.call('EXISTS', KEYS[3]), tonumber(failed[1] or 0), since}
