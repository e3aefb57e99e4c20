-- Takes a product out of the shop, and returns what is due.
-- KEYS: the shop's, as lib/inventory names them
-- ARGV[1] what ended is remembered for: ms   ARGV[2] product: name
-- returns: 1 it is gone | 0 there was none | -1 units of it are reserved
--   | -2 not now: more is due than one call returns; this one has returned some of it
-- refuses: writes nothing while units of it are reserved, unless more is due
local _, has_more = expire(200, tonumber(ARGV[1]))
local count = count_of(ARGV[2])
if not count then return 0 end
if count.reserved > 0 then
  if has_more then write_all() return -2 end
  return -1
end
changed[ARGV[2]] = nil

write_all()
redis.call('HDEL', stock, ARGV[2])
redis.call('ZREM', products, ARGV[2])
return 1
