-- Puts tasks of one priority on the queue, ready at once.
-- KEYS[1] tasks: hash   KEYS[2] ready tasks of the priority: list   KEYS[3] waiters: zset
-- ARGV: id, record of each
-- returns: 1
-- refuses: nothing
local ids = {}
for i = 1, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end

redis.call('HSET', KEYS[1], unpack(ARGV))
redis.call('RPUSH', KEYS[2], unpack(ids))
wake_workers(KEYS[3], #ids)
return 1
