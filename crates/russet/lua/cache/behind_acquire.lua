-- Takes the lease of a load where nothing stands and nothing is queued.
-- KEYS[1] entry: string   KEYS[2] dirty: hash
-- ARGV[1] lease: entry   ARGV[2] lease time: ms   ARGV[3] key: text
-- returns: what stands there or is queued: entry | nil when the lease was taken
-- refuses: writes nothing unless the lease is taken
local there = redis.call('GET', KEYS[1]) or redis.call('HGET', KEYS[2], ARGV[3])
if there then return there end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
