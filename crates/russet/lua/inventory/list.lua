-- Lists products by their names. What is due counts as returned.
-- KEYS: the shop's, as lib/inventory names them
-- ARGV[1] after: "(name", or "-" for the first   ARGV[2] at most: integer from 1 to 1000
-- returns: {name, {total, reserved, sold}}, ... | {{"", {0, 0, 0}}} more is due than one call counts: a sweep comes first
-- refuses: writes nothing
local _, has_more = expire(1000, 0)
if has_more then return {{'', {0, 0, 0}}} end
local names = redis.call('ZRANGE', products, ARGV[1], '+', 'BYLEX', 'LIMIT', 0, ARGV[2])
local lines = #names > 0 and redis.call('HMGET', stock, unpack(names)) or {}
local list = {}
for i, name in ipairs(names) do
  local count = counts[name] or read_count(lines[i])
  if count then list[#list + 1] = {name, {count.total, count.reserved, count.sold}} end
end
return list
