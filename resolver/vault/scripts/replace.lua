-- Replaces a sealed record if it is still the version that was read.
--   KEYS[1]  the record
--   ARGV[1]  the nonce that was read (bytes 2-13 of a sealed record)
--   ARGV[2]  the new sealed record; an empty string removes it
--   ARGV[3]  milliseconds the new one has to live, 0 for ever; an empty string keeps the time that is running
-- Returns 1 when done (also when a repeat of this very call finds it done), 0 when somebody else was first.
local held = redis.call('GETRANGE', KEYS[1], 1, 12)
if held == ARGV[1] then
  if ARGV[2] == '' then
    redis.call('DEL', KEYS[1])
  elseif ARGV[3] == '' then
    redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
  elseif ARGV[3] == '0' then
    redis.call('SET', KEYS[1], ARGV[2])
  else
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  end
  return 1
end
if held == string.sub(ARGV[2], 2, 13) then
  return 1
end
return 0
