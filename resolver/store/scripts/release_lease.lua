-- Releases the lease for work on all records, if this process has it.
--   KEYS[1]  the lease      ARGV[1]  the process
-- Returns 1.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
