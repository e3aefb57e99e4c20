-- Enters a lock once more for who holds it; the same entry twice is one.
-- KEYS[1] record: string
-- ARGV[1] owner: id   ARGV[2] entry: id   ARGV[3] lease: ms   ARGV[4] most entries: number
-- returns: {1, fence} | {0, 0} the lock is not this owner's | {2, 0} it was entered too often
-- refuses: writes nothing when the lock is not this owner's, or was entered too often
local now = now_ms()
local lock = read_lock(KEYS[1])
if not lock then return redis.error_reply('ERR the record of the lock is of another version') end
if lock.ends <= now or lock.owner ~= ARGV[1] then return {0, 0} end
local known = string.find(lock.entries, ARGV[2], 1, true)
local _, entries = string.gsub(lock.entries, '%x+', '')
if not known and entries >= tonumber(ARGV[4]) then return {2, 0} end

if not known then lock.entries = (lock.entries == '' and '' or lock.entries .. ',') .. ARGV[2] end
lock.ends = math.max(lock.ends, now + ARGV[3])
write_lock(KEYS[1], lock, now)
return {1, lock.fence}
