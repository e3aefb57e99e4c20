-- Sets the rate at which the queue gives tasks, or takes it away; it begins anew.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] limit: "<tasks> <in ms> <burst>", or nothing
-- returns: 1
-- refuses: nothing

redis.call('HDEL', meta, 'limit', 'tat')
if ARGV[1] ~= '' then redis.call('HSET', meta, 'limit', ARGV[1]) end
return 1
