-- Drops the cached copy, or the lease of a running load, which can then no longer store what it read.
-- KEYS[1] entry: string   KEYS[2] waiters: list
-- returns: 1 something was dropped | 0 nothing was there
-- refuses: writes nothing when nothing is there
local first = redis.call('GETRANGE', KEYS[1], 0, 0)
if first == '' then return 0 end

redis.call('DEL', KEYS[1])
if first == 'L' then wake(KEYS[2], '') end
return 1
