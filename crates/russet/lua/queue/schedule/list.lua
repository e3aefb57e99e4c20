-- All recurring tasks of a queue; lua/queue/schedule/put bounds their number.
-- KEYS: those of lib/schedule
-- returns: {name, record, …}
-- refuses: nothing
return redis.call('HGETALL', recurring)
