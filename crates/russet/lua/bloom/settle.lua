-- Notes that the bits of the live generation do not end by themselves any more.
-- KEYS[1] config: hash
-- ARGV[1] live: generation shards bits hashes
-- returns: 1 noted | 0 another generation is live
-- refuses: writes nothing for a generation that is not live
if redis.call('HGET', KEYS[1], 'live') ~= ARGV[1] then return 0 end

redis.call('HSET', KEYS[1], 'settled', '1')
return 1
