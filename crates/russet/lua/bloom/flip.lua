-- Makes the generation that was built the live one; the one before is kept for those who do not know yet.
-- KEYS[1] config: hash   KEYS[2] rebuilder: string
-- ARGV[1] lease: id   ARGV[2] lease time: ms   ARGV[3] built: generation shards bits hashes
-- returns: 1 it is live | 0 the lease was lost
-- refuses: writes nothing unless the lease is current and the generation the one that is being built
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local live = redis.call('HGET', KEYS[1], 'live')
if live == ARGV[3] then return 1 end
if redis.call('HGET', KEYS[1], 'building') ~= ARGV[3] then return 0 end

redis.call('PEXPIRE', KEYS[2], ARGV[2])
if live then redis.call('HSET', KEYS[1], 'old', live) end
redis.call('HSET', KEYS[1], 'live', ARGV[3], 'settled', '0')
redis.call('HDEL', KEYS[1], 'building')
return 1
