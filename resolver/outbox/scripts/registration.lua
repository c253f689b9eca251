-- Looks at a record, its waiting commands and its dead letters in one step: a command moves between them.
--   KEYS[1]  the record     KEYS[2]  its commands (hash)     KEYS[3]  the partition's dead letters (hash)
--   ARGV[1]  what the names of its dead letters match
-- Returns {the record or '', 1 when commands wait, 1 when a refusal by Velt would still undo the latest put,
-- the sealed dead letters}.
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
