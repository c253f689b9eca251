-- Reads a record, whether commands are queued, and its dead letters in one step, since commands move between them.
--   KEYS[1]  the record     KEYS[2]  the queue's commands (hash)     KEYS[3]  the partition's dead letters (hash)
--   ARGV[1]  the pattern of the names of its dead letters
-- Returns {the record or '', 1 when commands are queued, 1 when a refusal by Velt would still roll back the latest
-- put, the sealed dead letters}.
local dead, cursor = {}, '0'
repeat
  local page = redis.call('HSCAN', KEYS[3], cursor, 'MATCH', ARGV[1], 'COUNT', 1000)
  cursor = page[1]
  for position = 2, #page[2], 2 do
    dead[#dead + 1] = page[2][position]
  end
until cursor == '0'
local waits = redis.call('HEXISTS', KEYS[2], 'h')
local is_undecided = redis.call('HEXISTS', KEYS[2], 'v')
return {redis.call('GET', KEYS[1]) or '', waits, is_undecided, dead}
