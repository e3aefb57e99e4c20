-- Ends a recurring task; what it has enqueued stays.
-- KEYS: those of lib/schedule
-- ARGV[1] name: text
-- returns: 1 it is gone | 0 there was none
-- refuses: nothing

redis.call('ZREM', ticks, ARGV[1])
return redis.call('HDEL', recurring, ARGV[1])
