-- Ends an erasure: stores its erasure certificate, unless it has one, and deletes its state.
--   KEYS[1]  the erasure certificates (hash)     KEYS[2]  all erasures ever requested (set)
--   KEYS[3]  the erasures in progress (hash)     KEYS[4]  the records that it touched (hash)
--   ARGV[1]  the erasure's id                    ARGV[2]  its erasure certificate
-- Returns 1.
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('UNLINK', KEYS[4])
return 1
