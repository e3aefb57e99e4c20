-- Ends a message for its group, if it is still this delivery's.
-- KEYS[1] log: stream
-- ARGV[1] group: name   ARGV[2] consumer: id   ARGV[3] message: id   ARGV[4] delivery: count
-- returns: 1 done | 0 it was taken over, or is no more
-- refuses: writes nothing unless the consumer holds the message since this delivery
local held = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
local pending = held[1]
if held.err or not pending or pending[4] ~= tonumber(ARGV[4]) then return 0 end

return redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
