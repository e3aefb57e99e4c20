-- Reads a product. What is due counts as returned.
-- KEYS: the shop's, as lib/inventory names them
-- ARGV[1] product: name
-- returns: {total, reserved, sold} | nil | {-1, 0, 0} more is due than one call counts: a sweep comes first
-- refuses: writes nothing
local _, has_more = expire(1000, 0)
if has_more then return {-1, 0, 0} end
local count = count_of(ARGV[1])
return count and {count.total, count.reserved, count.sold}
