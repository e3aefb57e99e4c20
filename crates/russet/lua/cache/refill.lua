-- Stores what a refresh brought, if its lease is current, and hands it to the waiters; the copies in the processes go.
-- KEYS[1] entry: string   KEYS[2] waiters: list   KEYS[3] refresh: string
-- ARGV[1] lease: entry    ARGV[2] loaded: entry   ARGV[3] ttl: ms   ARGV[4] fresh: ms, or 0
-- ARGV[5] send the entry along: 1, or 0   ARGV[6] changes: channel   ARGV[7] key: text
-- returns: 1 stored | 0 the lease was lost or revoked
-- refuses: writes nothing unless the lease is current
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return 0 end
local entry = stamped(ARGV[2], ARGV[4])

redis.call('SET', KEYS[1], entry, 'PX', ARGV[3])
redis.call('DEL', KEYS[3])
wake(KEYS[2], ARGV[5] == '1' and entry or '')
redis.call('PUBLISH', ARGV[6], ARGV[7])
return 1
