-- Claims the first command of a notification that is due, for a while.
--   KEYS[1]  its commands (hash)     KEYS[2]  the partition's queue     KEYS[3]  the record
--   ARGV[1]  the queue's member      ARGV[2]  the claim      ARGV[3]  milliseconds that it holds
--   ARGV[4]  so many claims without outcome, and it is left as it is; empty: never
-- Returns {sealed command, claims without outcome so far, 1 when the record is held, counted failures so far,
-- milliseconds since Velt last answered it with a failure (-1: never)}, or nothing when it isn't due any more.
-- Of one that is left: {nil, claims without outcome so far, 0, 0, -1}.
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
-- A full Redis refuses a script's first write when that would take memory, and no later one: so the first
-- write takes none, and what waits can be told even then.
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
