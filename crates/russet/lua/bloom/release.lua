-- Gives the lease of the one who rebuilds back.
-- KEYS[1] rebuilder: string
-- ARGV[1] lease: id
-- returns: 1 given back | 0 it was lost
-- refuses: writes nothing unless the lease is current
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end

redis.call('DEL', KEYS[1])
return 1
