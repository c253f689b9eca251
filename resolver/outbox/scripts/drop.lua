-- Takes a waiting command out of its line; those behind it move up.
--   KEYS[1]  its commands (hash)     KEYS[2]  the partition's queue
--   ARGV[1]  its position            ARGV[2]  what was read there
--   ARGV[3]  the queue's member      ARGV[4]  the doorbell's channel
-- Returns 1, or 0 when it isn't what was read any more. A sender that has claimed it finds its claim lost.
local position = tonumber(ARGV[1])
if redis.call('HGET', KEYS[1], position) ~= ARGV[2] then
  return 0
end
local head = tonumber(redis.call('HGET', KEYS[1], 'h'))
local tail = tonumber(redis.call('HGET', KEYS[1], 't'))
for behind = position + 1, tail - 1 do
  redis.call('HSET', KEYS[1], behind - 1, redis.call('HGET', KEYS[1], behind))
end
redis.call('HDEL', KEYS[1], tail - 1)
if tail - 1 == head then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[3])
  return 1
end
redis.call('HSET', KEYS[1], 't', tail - 1)
if position == head then
  redis.call('HDEL', KEYS[1], 'v', 'p', 'l', 'f', 'r')
  redis.call('HSET', KEYS[1], 'k', '', 'a', 0)
  local clock = redis.call('TIME')
  redis.call('ZADD', KEYS[2], clock[1] * 1000 + math.floor(clock[2] / 1000), ARGV[3])
  redis.call('PUBLISH', ARGV[4], ARGV[3])
end
return 1
