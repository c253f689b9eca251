-- Replaces the record to roll back to, if it still is what was read, and notes what Velt must be told then.
--   KEYS[1]  the queue's commands (hash)
--   ARGV[1]  the sealed record that was read   ARGV[2]  the new one; empty: none   ARGV[3]  the sealed command; empty: none
-- Returns how many were replaced.
if redis.call('HGET', KEYS[1], 'p') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'p', ARGV[2])
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[1], 'u', ARGV[3])
end
return 1
