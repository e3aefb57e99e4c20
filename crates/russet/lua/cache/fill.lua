-- Stores what a loader brought, if its lease is still the one in the entry, and hands it to the waiters.
-- KEYS[1] entry: string   KEYS[2] waiters: list
-- ARGV[1] lease: entry    ARGV[2] loaded: entry   ARGV[3] ttl: ms   ARGV[4] fresh: ms, or 0
-- ARGV[5] send the entry along: 1, or 0 when it is large
-- returns: 1 stored | 0 the lease was lost or revoked
-- refuses: writes nothing unless the lease is current
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local entry = stamped(ARGV[2], ARGV[4])

redis.call('SET', KEYS[1], entry, 'PX', ARGV[3])
wake(KEYS[2], ARGV[5] == '1' and entry or '')
return 1
