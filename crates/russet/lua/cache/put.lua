-- Stores a value whatever stands there; a running load can no longer store its own.
-- KEYS[1] entry: string   KEYS[2] waiters: list
-- ARGV[1] value: entry    ARGV[2] ttl: ms   ARGV[3] news: entry, or empty when it is large
-- returns: 1
-- refuses: nothing
local leased = redis.call('GETRANGE', KEYS[1], 0, 0) == 'L'

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if leased then wake(KEYS[2], ARGV[3]) end
return 1
