-- Records a caller that waits for room among the queued writes.
-- KEYS[1] writes: stream   KEYS[2] room: list
-- ARGV[1] waiter: address   ARGV[2] most: entries   ARGV[3] patience: ms
-- returns: 1 recorded | 0 there is room
-- refuses: writes nothing when there is room
if redis.call('XLEN', KEYS[1]) < tonumber(ARGV[2]) then return 0 end

redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
