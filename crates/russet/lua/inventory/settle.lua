-- Confirms or cancels a reservation, and returns what is due.
-- KEYS: the shop's, as lib/inventory names them
-- ARGV[1] what ended is remembered for: ms   ARGV[2] reservation: id   ARGV[3] as what: sold or cancelled
-- returns: "sold" | "cancelled" | "expired" | "unknown": as what it has ended, now or before
-- refuses: changes no reservation that has ended, and none whose time has passed
local keep = tonumber(ARGV[1])
local hold = read_hold(redis.call('HGET', holds, ARGV[2]))
if not hold then return 'unknown' end
if hold.state ~= 'held' then return hold.state end
if hold.ms <= now then return 'expired' end
expire(200, keep)
settle(ARGV[2], hold, ARGV[3], keep)

write_all()
return hold.state
