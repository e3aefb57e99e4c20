-- Ends a group.
-- KEYS[1] log: stream
-- ARGV[1] group: name
-- returns: 1 removed | 0 there is no such group
-- refuses: writes nothing when there is no topic
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end

return redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
