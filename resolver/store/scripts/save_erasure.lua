-- Saves the state of an erasure, for the holder of the lease.
--   KEYS[1]  the erasures in progress (hash)      KEYS[2]  the lease
--   ARGV[1]  the erasure's id      ARGV[2]  its sealed state      ARGV[3]  the process
-- Returns 1; 0 when there is no such erasure in progress; -1 when another process has the lease.
if redis.call('GET', KEYS[2]) ~= ARGV[3] then
  return -1
end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
