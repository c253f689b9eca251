-- Takes a command out of its queue; the commands behind it move up.
--   KEYS[1]  the queue's commands (hash)     KEYS[2]  the partition's schedule
--   ARGV[1]  the command's position          ARGV[2]  the bytes that were read there
--   ARGV[3]  the schedule's member           ARGV[4]  the wake channel
-- Returns 1; 0 when the position holds other bytes by now; 2 when the command is claimed.
local position = tonumber(ARGV[1])
if redis.call('HGET', KEYS[1], position) ~= ARGV[2] then
  return 0
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local head = tonumber(redis.call('HGET', KEYS[1], 'h'))
local tail = tonumber(redis.call('HGET', KEYS[1], 't'))
local claim = redis.call('HGET', KEYS[1], 'k')
local due = redis.call('ZSCORE', KEYS[2], ARGV[3])
if position == head and claim and claim ~= '' and due and tonumber(due) > now then
  -- Its sender would find its claim lost, and couldn't roll back the record if Velt refuses it.
  return 2
end
local behind = {}
for next = position + 1, tail - 1 do
  behind[#behind + 1] = redis.call('HGET', KEYS[1], next)
end
-- First a write that takes no memory: see claim.lua.
redis.call('HDEL', KEYS[1], tail - 1)
if tail - 1 == head then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[3])
  return 1
end
for offset, command in ipairs(behind) do
  redis.call('HSET', KEYS[1], position + offset - 1, command)
end
redis.call('HSET', KEYS[1], 't', tail - 1)
if position == head then
  redis.call('HDEL', KEYS[1], 'v', 'p', 'l', 'u', 'f', 'r')
  redis.call('HSET', KEYS[1], 'k', '', 'a', 0)
  redis.call('ZADD', KEYS[2], now, ARGV[3])
  redis.call('PUBLISH', ARGV[4], ARGV[3])
end
return 1
