-- Sets the time that the holder has left.
-- KEYS[1] record: string
-- ARGV[1] owner: id   ARGV[2] time: ms   ARGV[3] whether it may only become longer: 1 or 0
-- returns: 1 it is set | 0 the lock is not the caller's
-- refuses: writes nothing when the lock is not the caller's
local now = now_ms()
local lock = read_lock(KEYS[1])
if not lock then return redis.error_reply('ERR the record of the lock is of another version') end
if lock.ends <= now or lock.owner ~= ARGV[1] then return 0 end

lock.ends = ARGV[3] == '1' and math.max(lock.ends, now + ARGV[2]) or now + ARGV[2]
write_lock(KEYS[1], lock, now)
return 1
