-- A new holder, and a fence that is larger than the last one and no less than the time in microseconds, so that it grows
-- although the record was lost.
local function give_lock(lock, owner, micros, ms, entry)
  local now = math.floor(micros / 1000)
  lock.owner, lock.since, lock.ends, lock.entries = owner, now, now + ms, entry
  lock.fence = math.max(lock.fence + 1, micros)
end
-- Gives the lock to who waits longest, for a short time in which it has to confirm, and tells it. One whose place has ended,
-- or whom nobody hears (where the server knows who hears), is passed over. Whether there was one; a thousand a call at most.
local function hand_over(key, waiters, places, lock, micros, counts)
  local now = math.floor(micros / 1000)
  for _ = 1, 1000 do
    local owner = redis.call('ZPOPMIN', waiters)[1]
    if not owner then return false end
    local place = redis.call('HGET', places, owner) or ''
    redis.call('HDEL', places, owner)
    local ends, grant, channel, number = string.match(place, '^(%d+) (%d+) (%S+) (%d+)$')
    if ends and tonumber(ends) > now and (redis.call('PUBLISH', channel, number .. ' ') > 0 or counts == '0') then
      give_lock(lock, owner, micros, tonumber(grant), '')
      write_lock(key, lock, now)
      return true
    end
  end
  return false
end
