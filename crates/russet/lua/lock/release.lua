-- Gives a lock back to who waits longest, or ends one of its entries; otherwise takes the caller off the list of those who
-- wait. A lock whose time has ended is handed over all the same.
-- KEYS[1] record: string   KEYS[2] waiters: zset   KEYS[3] places: hash
-- ARGV[1] owner: id   ARGV[2] entry: id or empty   ARGV[3] whether receivers count: 1 or 0
-- returns: {1 it was the caller's | 0 it was not, 1 it was handed over | 0 it was not}
-- refuses: writes nothing when the lock is not the caller's and nobody waits
local micros = now_us()
local now = math.floor(micros / 1000)
local lock = read_lock(KEYS[1])
if not lock then return redis.error_reply('ERR the record of the lock is of another version') end
local mine = lock.ends > now and lock.owner == ARGV[1]
local has_waiters = redis.call('EXISTS', KEYS[2]) == 1
if not mine and not has_waiters then return {0, 0} end
local others = {}
for entry in string.gmatch(lock.entries, '%x+') do
  if entry ~= ARGV[2] then others[#others + 1] = entry end
end

if has_waiters and not mine then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('HDEL', KEYS[3], ARGV[1])
end
if mine and #others > 0 then
  lock.entries = table.concat(others, ',')
  write_lock(KEYS[1], lock, now)
  return {1, 0}
end
local over = mine or lock.ends <= now
if over and has_waiters and hand_over(KEYS[1], KEYS[2], KEYS[3], lock, micros, ARGV[3]) then
  return {mine and 1 or 0, 1}
end
if mine then
  lock.owner, lock.since, lock.ends, lock.entries = '', 0, 0, ''
  write_lock(KEYS[1], lock, now)
end
return {mine and 1 or 0, 0}
