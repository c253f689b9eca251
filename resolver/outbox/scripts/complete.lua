-- Takes the first command out of its queue; the next one is due at once.
--   KEYS[1]  the queue's commands (hash)     KEYS[2]  the partition's schedule
--   KEYS[3]  the partition's dead letters    KEYS[4]  the record
--   KEYS[5]  counts bytes that moved back (see docs/privacy.md)
--   ARGV[1]  the schedule's member           ARGV[2]  the claim's token      ARGV[3]  the wake channel
--   ARGV[4]  the sealed dead letter to keep; empty: none
--   ARGV[5]  '1': Velt refused it, so roll back a put that was not answered yet (v, p, l and u of the hash, see
--            commit.lua), unless the record was written since
--   ARGV[6]  for a dead letter: the sealed command that was claimed
-- Returns 1; 0 when the claim was lost; 2 when the command to dead-letter has changed: an erasure has taken a
-- person out of it, and the claimed bytes must not be kept.
if redis.call('HGET', KEYS[1], 'k') ~= ARGV[2] then
  return 0
end
local head = tonumber(redis.call('HGET', KEYS[1], 'h'))
if ARGV[4] ~= '' and redis.call('HGET', KEYS[1], head) ~= ARGV[6] then
  return 2
end
local undo = redis.call('HMGET', KEYS[1], 'v', 'p', 'l', 'u')
redis.call('HDEL', KEYS[1], head, 'v', 'p', 'l', 'u', 'f', 'r')
if ARGV[4] ~= '' then
  -- The token makes the name unique: positions start at 0 in every new queue.
  redis.call('HSET', KEYS[3], ARGV[1] .. ':' .. ARGV[2], ARGV[4])
end
if ARGV[5] == '1' and undo[1] and redis.call('GETRANGE', KEYS[4], 1, 12) == undo[1] then
  if undo[2] == '' then
    redis.call('DEL', KEYS[4])
  else
    redis.call('INCR', KEYS[5])
    if undo[3] == '0' then
      redis.call('SET', KEYS[4], undo[2])
    else
      redis.call('SET', KEYS[4], undo[2], 'PX', undo[3])
    end
  end
  if undo[4] then
    local tail = tonumber(redis.call('HGET', KEYS[1], 't'))
    redis.call('HSET', KEYS[1], tail, undo[4], 't', tail + 1)
  end
end
if head + 1 >= tonumber(redis.call('HGET', KEYS[1], 't')) then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  return 1
end
local clock = redis.call('TIME')
redis.call('HSET', KEYS[1], 'h', head + 1, 'k', '', 'a', 0)
redis.call('ZADD', KEYS[2], clock[1] * 1000 + math.floor(clock[2] / 1000), ARGV[1])
redis.call('PUBLISH', ARGV[3], ARGV[1])
return 1
