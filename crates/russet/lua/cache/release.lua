-- Gives a lease back without a value, so that a waiter can load at once.
-- KEYS[1] entry or refresh: string   KEYS[2] waiters: list
-- ARGV[1] lease: entry
-- returns: 1 released | 0 the lease was lost or revoked
-- refuses: writes nothing unless the lease is current
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end

redis.call('DEL', KEYS[1])
wake(KEYS[2], '')
return 1
