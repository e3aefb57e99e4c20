-- Who holds a lock, as far as others may know, and how many wait.
-- KEYS[1] record: string   KEYS[2] waiters: zset
-- returns: {1 held | 0 free, last fence, held since in ms, ms left, how many wait, entries}
-- refuses: nothing
local now = now_ms()
local lock = read_lock(KEYS[1])
if not lock then return redis.error_reply('ERR the record of the lock is of another version') end
local waiting = redis.call('ZCARD', KEYS[2])
if lock.ends <= now then return {0, lock.fence, 0, 0, waiting, 0} end
local _, entries = string.gsub(lock.entries, '%x+', '')
return {1, lock.fence, lock.since, lock.ends - now, waiting, math.max(entries, 1)}
