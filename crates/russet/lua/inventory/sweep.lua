-- Returns what is due, and forgets what was remembered long enough; a bounded number of each.
-- KEYS: the shop's, as lib/inventory names them
-- ARGV[1] what ended is remembered for: ms
-- returns: {reservations that were due, others forgotten, ms until the next reservation is due | -1 when there is none}
-- refuses: ends no reservation whose time has not passed
local expired = expire(500, tonumber(ARGV[1]))
local next_due = redis.call('ZRANGE', due, '(' .. string.format('%d', now), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')[2]

local forgotten = forget(500)
write_all()
return {expired, forgotten, next_due and next_due - now or -1}
