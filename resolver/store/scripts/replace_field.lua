-- Replaces a field of a hash, unless it was written since it was read.
--   KEYS[1]  the hash      ARGV[1]  the field      ARGV[2]  the value that was read      ARGV[3]  the new value
-- Returns 1.
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
