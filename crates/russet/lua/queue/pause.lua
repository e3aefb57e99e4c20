-- Stops the queue from giving tasks, or lets it go on.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] paused: 1 or 0
-- returns: 1 it was changed | 0 it was so before
-- refuses: nothing
local is_new = (redis.call('HGET', meta, 'paused') or '0') ~= ARGV[1]

redis.call('HSET', meta, 'paused', ARGV[1])
if ARGV[1] == '0' then wake_workers(waiters, 20) end
return is_new and 1 or 0
