-- Puts a dead write back on the stream.
-- KEYS[1] writes: stream   KEYS[2] dirty: hash   KEYS[3] dead: hash   KEYS[4] sequence: string
-- ARGV[1] key: text
-- returns: 1 it will be tried again | 0 there is no such dead write
-- refuses: writes nothing then
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 0 then return 0 end
local dirty = redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1
local sequence = next_sequence(KEYS[4])

if dirty then redis.call('XADD', KEYS[1], sequence .. '-0', 'k', ARGV[1]) end
redis.call('SET', KEYS[4], sequence)
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
