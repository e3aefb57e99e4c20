-- Takes a generation out of use, whose bits end by themselves.
-- KEYS[1] config: hash   KEYS[2] rebuilder: string
-- ARGV[1] lease: id   ARGV[2] which: old or building
-- returns: 1 out of use | 0 the lease was lost
-- refuses: writes nothing unless the lease is current
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end

redis.call('HDEL', KEYS[1], ARGV[2])
return 1
