-- Says how far a running task is.
-- KEYS: the queue's, as lib/queue names them
-- ARGV[1] task: id   ARGV[2] claim: number   ARGV[3] progress: text
-- returns: 1 | 0 the lease is another's
-- refuses: writes nothing unless the lease is current
if redis.call('HGET', running, ARGV[1]) ~= ARGV[2] then return 0 end

redis.call('HSET', progress, ARGV[1], ARGV[3])
redis.call('HSET', meta, 'progress', '1')
return 1
