-- Forgets a dead write, and the value that readers got of it.
-- KEYS[1] entry: string   KEYS[2] dirty: hash   KEYS[3] dead: hash   KEYS[4] refresh: string
-- ARGV[1] key: text   ARGV[2] changes: channel
-- returns: 1 forgotten | 0 there is no such dead write
-- refuses: writes nothing then
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then return 0 end

redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1], KEYS[4])
redis.call('PUBLISH', ARGV[2], ARGV[1])
return 1
