-- Stores what a loader brought, if its lease is still the one in the entry, and hands it to the waiters.
-- KEYS[1] entry: string   KEYS[2] waiters: list
-- ARGV[1] lease: entry    ARGV[2] loaded: entry   ARGV[3] ttl: ms   ARGV[4] news: entry, or empty when it is large
-- returns: 1 stored | 0 the lease was lost or revoked
-- refuses: writes nothing unless the lease is current
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end

redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
wake(KEYS[2], ARGV[4])
return 1
