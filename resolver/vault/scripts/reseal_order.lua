-- Puts an order under another key, unless somebody wrote it since it was read.
--   KEYS[1]  the orders (hash)      ARGV[1]  the order      ARGV[2]  what was read      ARGV[3]  the same, resealed
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
