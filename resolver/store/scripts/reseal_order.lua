-- Puts an order, or what it touched, under another key, unless it was written since it was read.
--   KEYS[1]  the hash      ARGV[1]  the field      ARGV[2]  what was read      ARGV[3]  the same, resealed
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
