-- Sets how many units of a product there are, or changes that, and returns what is due.
-- KEYS: the shop's, as lib/inventory names them
-- ARGV[1] what is done is remembered for: ms   ARGV[2] request: id   ARGV[3] how: set or add   ARGV[4] product: name
-- ARGV[5] units: integer
-- returns: {"done" | "too_low" | "too_many", total, reserved, sold} as they are then | {"other", 0, 0, 0} the id is of another request
--   | {"more", total, reserved, sold} not now: more is due than one call returns; this one has returned some of it
-- refuses: writes nothing for a request that was done before, for a total below what is reserved and sold (unless more is due),
--   or above 2^53
local keep, request = tonumber(ARGV[1]), 'change ' .. ARGV[2]
local line = redis.call('HGET', holds, request)
if line then
  local what, total, reserved, sold = string.match(line, '^V1%S* changed (.*) (%d+) (%d+) (%d+)$')
  if what ~= ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. ARGV[5] then return {'other', 0, 0, 0} end
  return {'done', tonumber(total), tonumber(reserved), tonumber(sold)}
end
local _, has_more = expire(200, keep)
local count = count_of(ARGV[4]) or {total = 0, reserved = 0, sold = 0}
local bound = count.reserved + count.sold
local room = 9007199254740992 - count.total -- 2^53 + 1 would be rounded to 2^53
local total = tonumber(ARGV[5])
if ARGV[3] == 'add' then
  if total > room then return {'too_many', count.total, count.reserved, count.sold} end
  total = count.total + total
end
local fits = total >= bound
if not fits and not has_more then return {'too_low', count.total, count.reserved, count.sold} end
if fits then
  count.total = total
  changed[ARGV[4]] = count
  lines[#lines + 1] = request
  lines[#lines + 1] = string.format('V1 changed %s %s %s %d %d %d', ARGV[3], ARGV[4], ARGV[5], total, count.reserved, count.sold)
  kept[#kept + 1] = now + keep
  kept[#kept + 1] = request
end

write_all()
if fits then redis.call('ZADD', products, 0, ARGV[4]) end
return {fits and 'done' or 'more', count.total, count.reserved, count.sold}
