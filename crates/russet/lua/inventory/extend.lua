-- Sets how long a reservation holds from now on, and returns what is due.
-- KEYS: the shop's, as lib/inventory names them
-- ARGV[1] what ended is remembered for: ms   ARGV[2] reservation: id   ARGV[3] hold: ms
-- returns: {"held", until} | {"sold" | "cancelled" | "expired" | "unknown", 0}
-- refuses: changes no reservation that has ended, and none whose time has passed
local hold = read_hold(redis.call('HGET', holds, ARGV[2]))
if not hold then return {'unknown', 0} end
if hold.state ~= 'held' then return {hold.state, 0} end
if hold.ms <= now then return {'expired', 0} end
expire(200, tonumber(ARGV[1]))
hold.ms = now + ARGV[3]
lines[#lines + 1] = ARGV[2]
lines[#lines + 1] = line_of(hold)

write_all()
redis.call('ZADD', due, hold.ms, ARGV[2])
return {'held', hold.ms}
