-- Notes a deletion that begins.
--   KEYS[1]  the unfinished deletions (hash)     ARGV[1]  its id     ARGV[2]  the sealed note
-- Returns 1.
-- A full Redis refuses a script's first write if that takes memory, and no later one. Deleting makes room, so it
-- must work there: the first write takes none.
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
