-- A day longer than the lease: a fence is larger than all before it by the clock alone, unless that goes back by more.
local function write_lock(key, lock, now)
  local record = string.format('V1;owner=%s;fence=%d;since=%d;until=%d;entries=%s', lock.owner, lock.fence,
    lock.since, lock.ends, lock.entries)
  redis.call('SET', key, record, 'PX', math.max(lock.ends - now, 0) + 86400000)
end
