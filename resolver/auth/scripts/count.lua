-- Counts a call in a window that begins with the first call.
--
-- KEYS[1]  the counter
-- ARGV[1]  the window in milliseconds
-- Result   {calls in this window, with this one; milliseconds until it ends}
local calls = redis.call("INCR", KEYS[1])
local left = redis.call("PTTL", KEYS[1])
if left < 0 then
  redis.call("PEXPIRE", KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {calls, left}
