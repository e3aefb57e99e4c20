-- Takes a product out of the shop, and returns what is due.
-- KEYS: the shop's, as lib/inventory names them
-- ARGV[1] what ended is remembered for: ms   ARGV[2] product: name
-- returns: 1 it is gone | 0 there was none | -1 units of it are reserved
--   | -2 not now: more is due than one call returns; this one has returned some of it
-- refuses: writes nothing while units of it are reserved, unless more is due
local _, has_more = expire(200, tonumber(ARGV[1]))
local count = count_of(ARGV[2])
if not count then return 0 end
local is_free = count.reserved == 0
if not is_free and not has_more then return -1 end
if is_free then changed[ARGV[2]] = nil end

write_all()
if is_free then
  redis.call('HDEL', stock, ARGV[2])
  redis.call('ZREM', products, ARGV[2])
end
return is_free and 1 or -2
