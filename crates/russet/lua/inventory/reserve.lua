-- Reserves units of a product, and returns to it what is due.
-- KEYS: the shop's, as lib/inventory names them
-- ARGV[1] what ended is remembered for: ms   ARGV[2] reservation: id   ARGV[3] product: name   ARGV[4] quantity: integer from 1
-- ARGV[5] hold: ms   ARGV[6] user: name, or -   ARGV[7] most for the user: integer, or 0   ARGV[8] the limit's period: ms
-- returns: {"held", until, 1} | {"held", until, 0} it was done before | {"insufficient", available, 0}
--   | {"over", allowed, 0} | {"other", 0, 0} the id is of another reservation
--   | {"more", 0, 0} not now: more is due than one call returns; this one has returned some of it
-- refuses: writes nothing unless it reserves, or more is due
local keep, quantity, most = tonumber(ARGV[1]), tonumber(ARGV[4]), tonumber(ARGV[7])
local line = redis.call('HGET', holds, ARGV[2])
if line then
  local before = read_hold(line)
  if before and before.product == ARGV[3] and before.quantity == quantity and before.user == ARGV[6] then
    return {'held', before.ms, 0}
  end
  return {'other', 0, 0}
end
local _, has_more = expire(200, keep)
local count = count_of(ARGV[3])
local owner = most > 0 and owner_of(ARGV[3], ARGV[6])
local allowed = owner and most - owner.held - owner.sold or quantity
local fits = quantity <= math.min(allowed, free_of(count))
if not fits and not has_more then
  if quantity > allowed then return {'over', math.max(allowed, 0), 0} end
  return {'insufficient', free_of(count), 0}
end
local hold = {state = 'held', quantity = quantity, ms = now + ARGV[5], product = ARGV[3], user = ARGV[6],
  period = owner and tonumber(ARGV[8]) or 0}
if fits then
  count.reserved = count.reserved + quantity
  changed[ARGV[3]] = count
  if owner then owner.held = owner.held + quantity end
  lines[#lines + 1] = ARGV[2]
  lines[#lines + 1] = line_of(hold)
end

write_all()
if fits then redis.call('ZADD', due, hold.ms, ARGV[2]) end
return fits and {'held', hold.ms, 1} or {'more', 0, 0}
