-- Replaces fields of a hash, each only if it still has the value that was read.
--   KEYS[1]  the hash      ARGV  for each field: its name, the value that was read, the new value
-- Returns how many were replaced.
local swapped = 0
for first = 1, #ARGV, 3 do
  if redis.call('HGET', KEYS[1], ARGV[first]) == ARGV[first + 1] then
    redis.call('HSET', KEYS[1], ARGV[first], ARGV[first + 2])
    swapped = swapped + 1
  end
end
return swapped
