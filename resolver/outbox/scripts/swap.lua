-- Replaces fields of a hash, each only where it still is what was read.
--   KEYS[1]  the hash      ARGV  field, what was read, what stands there instead; and so on
-- Returns how many were replaced.
local swapped = 0
for first = 1, #ARGV, 3 do
  if redis.call('HGET', KEYS[1], ARGV[first]) == ARGV[first + 1] then
    redis.call('HSET', KEYS[1], ARGV[first], ARGV[first + 2])
    swapped = swapped + 1
  end
end
return swapped
