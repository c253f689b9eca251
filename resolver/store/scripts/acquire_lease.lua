-- Acquires the lease for work on all records, or prolongs it for its holder.
--   KEYS[1]  the lease      ARGV[1]  the process      ARGV[2]  the lease in milliseconds
-- Returns 1, or 0 when another process has the lease.
local holder = redis.call('GET', KEYS[1])
if not holder then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
if holder ~= ARGV[1] then
  return 0
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
