-- Drops the cached copy, or the leases of running loads, which can then no longer store what they read; and the copies
-- in the processes, also when nothing stands here any more.
-- KEYS[1] entry: string   KEYS[2] waiters: list   KEYS[3] refresh: string
-- ARGV[1] changes: channel   ARGV[2] key: text
-- returns: 1 something was dropped | 0 nothing was there
-- refuses: nothing
local leased = redis.call('GETRANGE', KEYS[1], 0, 0) == 'L'

local refreshed = redis.call('DEL', KEYS[3]) == 1
local dropped = redis.call('DEL', KEYS[1])
if leased or refreshed then wake(KEYS[2], '') end
redis.call('PUBLISH', ARGV[1], ARGV[2])
return dropped
