-- The right to work on orders, for one process at a time: taken, or prolonged by whoever has it.
--   KEYS[1]  who has it      ARGV[1]  who asks      ARGV[2]  milliseconds that it holds
-- Returns 1, or 0 when somebody else has it.
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
