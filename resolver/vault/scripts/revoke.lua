-- Writes a mark that revokes tokens, unless somebody wrote it since it was read.
--   KEYS[1]  the mark
--   ARGV[1]  the sealed mark that was read; empty: none was there      ARGV[2]  the sealed mark to write
-- Returns 1 when it was written, 0 when it was overtaken. Marks have no time to live.
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
