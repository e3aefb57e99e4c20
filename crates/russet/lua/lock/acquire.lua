-- Takes a lock, or a place among those who wait for it; keeps one that is the caller's already.
-- KEYS[1] record: string   KEYS[2] waiters: zset   KEYS[3] places: hash
-- ARGV[1] owner: id   ARGV[2] lease: ms   ARGV[3] entry: id or empty   ARGV[4] waiter: address, empty not to wait
-- ARGV[5] place: ms   ARGV[6] grant: ms   ARGV[7] whether receivers count: 1 or 0
-- returns: {1, fence} | {0, ms that the holder has left}
-- refuses: writes nothing when another one holds it and the caller does not wait
local micros = now_us()
local now = math.floor(micros / 1000)
local lock = read_lock(KEYS[1])
if not lock then return redis.error_reply('ERR the record of the lock is of another version') end
local held = lock.ends > now
local mine = held and lock.owner == ARGV[1]
if held and not mine and ARGV[4] == '' then return {0, lock.ends - now} end
local has_waiters = not held and redis.call('EXISTS', KEYS[2]) == 1

if ARGV[4] ~= '' and not mine and (held or has_waiters) then
  redis.call('ZADD', KEYS[2], 'NX', micros, ARGV[1])
  redis.call('HSET', KEYS[3], ARGV[1], string.format('%d %d ', now + ARGV[5], ARGV[6]) .. ARGV[4])
  redis.call('PEXPIRE', KEYS[2], 86400000)
  redis.call('PEXPIRE', KEYS[3], 86400000)
end
if has_waiters and hand_over(KEYS[1], KEYS[2], KEYS[3], lock, micros, ARGV[7]) then
  held, mine = true, lock.owner == ARGV[1]
end
if held and not mine then
  return {0, lock.ends - now}
end
if mine then
  lock.ends = math.max(lock.ends, now + ARGV[2])
  if lock.entries == '' then lock.entries = ARGV[3] end
else
  give_lock(lock, ARGV[1], micros, tonumber(ARGV[2]), ARGV[3])
end
write_lock(KEYS[1], lock, now)
return {1, lock.fence}
