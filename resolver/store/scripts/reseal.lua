-- Puts a record's bytes under another key, unless somebody wrote since they were read.
--   KEYS[1]  the record              KEYS[2]  its commands (hash)
--   ARGV[1]  the nonce that was read (bytes 2-13 of a sealed record)      ARGV[2]  the resealed record
-- Returns 1 when it was replaced, 0 when it was overtaken. What it had to live, it has still. A put that Velt
-- may yet refuse is known by its nonce (v): it is known by the new one then.
if redis.call('GETRANGE', KEYS[1], 1, 12) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
if redis.call('HGET', KEYS[2], 'v') == ARGV[1] then
  redis.call('HSET', KEYS[2], 'v', string.sub(ARGV[2], 2, 13))
end
return 1
