-- Moves a dead letter's command to the end of its queue.
--   KEYS[1]  the queue's commands (hash)     KEYS[2]  the partition's schedule
--   KEYS[3]  the partition's dead letters    KEYS[4]  the record
--   KEYS[5]  counts bytes that moved back (see docs/privacy.md)
--   ARGV[1]  the dead letter's name          ARGV[2]  the bytes that were read      ARGV[3]  the sealed command
--   ARGV[4]  '1': only while the record is held
--   ARGV[5]  the schedule's member           ARGV[6]  the wake channel
-- Returns 1; 0 when the dead letter has other bytes by now; 2 when the record isn't held.
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[2] then
  return 0
end
if ARGV[4] == '1' and redis.call('EXISTS', KEYS[4]) == 0 then
  return 2
end
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('INCR', KEYS[5])
local head = tonumber(redis.call('HGET', KEYS[1], 'h') or 0)
local tail = tonumber(redis.call('HGET', KEYS[1], 't') or 0)
redis.call('HSET', KEYS[1], 'h', head, 't', tail + 1, tail, ARGV[3])
if head == tail then
  local clock = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'k', '', 'a', 0)
  redis.call('ZADD', KEYS[2], clock[1] * 1000 + math.floor(clock[2] / 1000), ARGV[5])
  redis.call('PUBLISH', ARGV[6], ARGV[5])
end
return 1
