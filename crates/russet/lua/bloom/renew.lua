-- Keeps the lease of the one who rebuilds.
-- KEYS[1] rebuilder: string
-- ARGV[1] lease: id   ARGV[2] lease time: ms
-- returns: 1 renewed | 0 the lease was lost
-- refuses: writes nothing unless the lease is current
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end

redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
