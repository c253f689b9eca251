-- Ends an order: its certificate stands for it. One that is there already stays as it is.
--   KEYS[1]  the certificates (hash)      KEYS[2]  the orders ever known (set)
--   KEYS[3]  the orders (hash)            KEYS[4]  what the order touched (hash)
--   ARGV[1]  the order      ARGV[2]  its certificate
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('UNLINK', KEYS[4])
return 1
