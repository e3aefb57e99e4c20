-- Reads a product. What is due counts as returned.
-- KEYS: the shop's, as lib/inventory names them
-- ARGV[1] product: name
-- returns: {total, reserved, sold} | nil
-- refuses: writes nothing
expire(1000, 0)
local count = count_of(ARGV[1])
return count and {count.total, count.reserved, count.sold}
