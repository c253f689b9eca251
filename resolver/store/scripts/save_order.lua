-- How far an order is, told by whoever has the right to work on it.
--   KEYS[1]  the orders (hash)      KEYS[2]  who has the right
--   ARGV[1]  the order      ARGV[2]  sealed, how far it is      ARGV[3]  who tells
-- Returns 1; 0 when there is no such order (any more); -1 when somebody else has the right by now.
if redis.call('GET', KEYS[2]) ~= ARGV[3] then
  return -1
end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
