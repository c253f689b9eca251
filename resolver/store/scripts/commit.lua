-- Writes a record and queues a command, both or neither.
--   KEYS[1]  the record              KEYS[2]  the queue's commands (hash)      KEYS[3]  the partition's schedule
--   ARGV[1]  'put', 'put new' (only where no record is), 'replace' (only the version that was read), 'remove' or
--            'keep'
--   ARGV[2]  the sealed record; for 'replace' an empty string removes it
--   ARGV[3]  milliseconds until the record expires; empty: never ('put'), or unchanged ('replace')
--   ARGV[4]  for 'replace': the nonce that was read (bytes 2-13 of a sealed record)
--   ARGV[5]  the sealed command; empty: none
--   ARGV[6]  'behind', 'instead', 'if waiting' or 'behind if waiting': Place in resolver/store/command.py
--   ARGV[7]  a claim token, if the caller wants to send the command itself; empty: none
--   ARGV[8]  the lease of that claim in milliseconds
--   ARGV[9]  the schedule's member   ARGV[10]  the wake channel
-- Returns {1, or 0 when another write was faster; 1 when the claim was given}.
--
-- The queue's hash holds:
--   h, t     positions of the first command and of the next one to come; the commands themselves by position
--   k, a     the claim token on the first command; its abandoned attempts, including the claim that holds
--   f, r     its counted failures; when Velt last answered it with a failure (see release.lua)
--   v, p, l  while the client of a 'put' has no answer yet, how to roll it back if Velt refuses it: the nonce of
--            the put, the record before it ('' for none), and that record's milliseconds to live (0: forever)
--   u        the command to queue after such a rollback: an erasure has changed the record before it
local previous = ''
local left = 0
local puts = ARGV[1] == 'put' or ARGV[1] == 'put new'
if ARGV[1] == 'put new' and redis.call('EXISTS', KEYS[1]) == 1 then
  return {0, 0}
end
if puts then
  previous = redis.call('GET', KEYS[1]) or ''
  left = math.max(redis.call('PTTL', KEYS[1]), 0)
  if ARGV[3] == '' then
    redis.call('SET', KEYS[1], ARGV[2])
  else
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  end
elseif ARGV[1] == 'replace' then
  if redis.call('GETRANGE', KEYS[1], 1, 12) ~= ARGV[4] then
    return {0, 0}
  end
  if ARGV[2] == '' then
    redis.call('DEL', KEYS[1])
  else
    redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
  end
elseif ARGV[1] == 'remove' then
  redis.call('DEL', KEYS[1])
end
if ARGV[1] == 'replace' or ARGV[1] == 'remove' then
  -- A rollback never undoes this write, so it doesn't need the previous record any longer.
  redis.call('HDEL', KEYS[2], 'v', 'p', 'l', 'u')
end
if ARGV[5] == '' then
  return {1, 0}
end

local head = tonumber(redis.call('HGET', KEYS[2], 'h') or 0)
local tail = tonumber(redis.call('HGET', KEYS[2], 't') or 0)
if string.find(ARGV[6], 'if waiting') and head == tail then
  return {1, 0}
end
if string.find(ARGV[6], 'behind') == nil then
  local first = head
  if tonumber(redis.call('HGET', KEYS[2], 'a') or 0) > 0 then
    first = head + 1
  end
  for position = first, tail - 1 do
    redis.call('HDEL', KEYS[2], position)
  end
  if first == head then
    redis.call('HDEL', KEYS[2], 'f', 'r')
  end
  tail = math.min(first, tail)
end
redis.call('HSET', KEYS[2], 'h', head, 't', tail + 1, tail, ARGV[5])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if head == tail and ARGV[7] ~= '' then
  redis.call('HSET', KEYS[2], 'k', ARGV[7], 'a', 1)
  if puts then
    redis.call('HSET', KEYS[2], 'v', string.sub(ARGV[2], 2, 13), 'p', previous, 'l', left)
  end
  redis.call('ZADD', KEYS[3], now + ARGV[8], ARGV[9])
  return {1, 1}
end
if head == tail then
  redis.call('HSET', KEYS[2], 'k', '', 'a', 0)
  redis.call('ZADD', KEYS[3], now, ARGV[9])
  redis.call('PUBLISH', ARGV[10], ARGV[9])
end
return {1, 0}
