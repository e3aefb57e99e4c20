-- Takes a lock away from who holds it, if it still is the holder that was meant.
-- KEYS[1] record: string   KEYS[2] waiters: zset   KEYS[3] places: hash
-- ARGV[1] fence: number    ARGV[2] whether receivers count: 1 or 0
-- returns: 1 it was taken away | 0 that holder is gone
-- refuses: writes nothing when that holder is gone
local micros = now_us()
local now = math.floor(micros / 1000)
local lock = read_lock(KEYS[1])
if not lock then return redis.error_reply('ERR the record of the lock is of another version') end
if lock.ends <= now or lock.fence ~= tonumber(ARGV[1]) then return 0 end

if not hand_over(KEYS[1], KEYS[2], KEYS[3], lock, micros, ARGV[2]) then
  lock.owner, lock.since, lock.ends, lock.entries = '', 0, 0, ''
  write_lock(KEYS[1], lock, now)
end
return 1
