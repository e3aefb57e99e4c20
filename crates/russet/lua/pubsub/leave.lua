-- Forgets a subscriber that holds nothing.
-- KEYS[1] log: stream   KEYS[2] waiters: hash
-- ARGV[1] group: name   ARGV[2] consumer: id
-- returns: 1 it is forgotten | 0 it holds messages, or there is no topic or no group
-- refuses: writes nothing while the subscriber holds messages, which would be lost with it
local held = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if held.err or #held > 0 then return 0 end

redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
