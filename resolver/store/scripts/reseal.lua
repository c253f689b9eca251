-- Replaces a record with the same record under another master key, unless it was written since it was read.
--   KEYS[1]  the record              KEYS[2]  the queue's commands (hash)
--   ARGV[1]  the nonce that was read (bytes 2-13 of a sealed record)      ARGV[2]  the resealed record
-- Returns 1 when it was replaced, 0 when it was overtaken. Its expiry stays. A rollback recognizes the put that
-- it undoes by its nonce (v), which is replaced as well.
if redis.call('GETRANGE', KEYS[1], 1, 12) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
if redis.call('HGET', KEYS[2], 'v') == ARGV[1] then
  redis.call('HSET', KEYS[2], 'v', string.sub(ARGV[2], 2, 13))
end
return 1
