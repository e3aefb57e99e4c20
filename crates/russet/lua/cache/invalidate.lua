-- Drops the cached copy, or the leases of running loads, which can then no longer store what they read; and the copies
-- in the processes, also when nothing stands here any more. The guard of a strict write stays; whoever placed it, or
-- holds the ticket, can no longer store what was written.
-- KEYS[1] entry: string   KEYS[2] waiters: list   KEYS[3] refresh: string   KEYS[4] ticket: string
-- ARGV[1] changes: channel   ARGV[2] key: text
-- returns: 1 something was dropped | 0 nothing was there, or a guard
-- refuses: nothing
local first = redis.call('GETRANGE', KEYS[1], 0, 0)
local dropped = 0

local refreshed = redis.call('DEL', KEYS[3]) == 1
redis.call('DEL', KEYS[4])
if first == 'W' then
  redis.call('SETRANGE', KEYS[1], 9, '0')
else
  dropped = redis.call('DEL', KEYS[1])
end
if first == 'L' or refreshed then wake(KEYS[2], '') end
redis.call('PUBLISH', ARGV[1], ARGV[2])
return dropped
